import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ofType, synthesize, type Resource } from './deployment.ts';

describe('the bus for events', () => {
  const { resources, template } = synthesize();

  it('gets the events of users from the stream of the table, and nothing else from it', () => {
    const mappings = ofType(resources, 'AWS::Lambda::EventSourceMapping').map(([, { Properties }]) => Properties);
    const [mapping, ...others] = mappings.filter(({ EventSourceArn }) => JSON.stringify(EventSourceArn).includes('StreamArn'));
    assert.deepEqual(others, []);
    assert.deepEqual(JSON.parse(mapping?.['FilterCriteria'].Filters[0].Pattern), {
      eventName: ['INSERT'],
      dynamodb: { Keys: { pk: { S: [{ prefix: 'events#' }] } } },
    });
    assert.deepEqual(mapping?.['FunctionResponseTypes'], ['ReportBatchItemFailures']);
    const [[, table]] = ofType(resources, 'AWS::DynamoDB::Table') as [[string, Resource]];
    assert.deepEqual(table.Properties['StreamSpecification'], { StreamViewType: 'NEW_IMAGE' });
  });

  it('is named in the outputs, for rules', () => {
    assert.ok('EventBusArn' in template['Outputs']);
  });

  it('is absent with bus=false, with all that belongs to it', () => {
    const { resources, template } = synthesize({ bus: 'false' });
    assert.deepEqual(ofType(resources, 'AWS::Events::EventBus'), []);
    const handlers = ofType(resources, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties['Handler']);
    assert.ok(!handlers.includes('publish-events'));
    const [[, table]] = ofType(resources, 'AWS::DynamoDB::Table') as [[string, Resource]];
    assert.equal(table.Properties['StreamSpecification'], undefined);
    assert.ok(!('EventBusArn' in template['Outputs']));
  });
});
