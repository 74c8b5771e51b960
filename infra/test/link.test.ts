import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSettings } from '../lib/settings.ts';
import { functionNamed, list, ofType, statements, synthesize } from './deployment.ts';

const { resources, template } = synthesize();

function granted(function_: string): string[] {
  const { role } = functionNamed(resources, function_);
  return statements(resources, role).flatMap(({ Effect, Action }) => (Effect === 'Allow' ? list(Action) : []));
}

describe('a deployment whose runners connect by themselves', () => {
  it('gives no role to a task, and so no credentials', () => {
    for (const [, { Properties }] of ofType(resources, 'AWS::ECS::TaskDefinition')) {
      assert.equal(Properties['TaskRoleArn'], undefined);
    }
    const descriptions = ofType(resources, 'AWS::IAM::Role').map(([id, { Properties }]) => [id, Properties['Description']]);
    assert.deepEqual(descriptions.filter(([id]) => /^(ShellTask.*|)TaskRole/.test(id)), []);
    assert.ok(!JSON.stringify(template).includes('ssmmessages:'));
    assert.ok(!JSON.stringify(template).includes('ecs:ExecuteCommand'));
  });

  it('passes only the execution role to ECS', () => {
    const { role } = functionNamed(resources, 'provision-task');
    const passed = statements(resources, role).filter(({ Action }) => list(Action).includes('iam:PassRole'));
    assert.deepEqual(passed.map(({ Resource }) => list(Resource).length), [1]);
  });

  it('authorizes each connection, and nothing without a token reaches the function', () => {
    const routes = ofType(resources, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => Properties);
    const types = Object.fromEntries(routes.filter(({ RouteKey }) => /^\$/.test(RouteKey)).map(({ RouteKey, AuthorizationType }) => [RouteKey, AuthorizationType]));
    assert.deepEqual(types, { $connect: 'CUSTOM', $disconnect: 'NONE', $default: 'NONE' });
    const authorizers = ofType(resources, 'AWS::ApiGatewayV2::Authorizer').filter(([, { Properties }]) => Properties['AuthorizerType'] === 'REQUEST');
    assert.deepEqual(authorizers.map(([, { Properties }]) => Properties['IdentitySource']), [['route.request.header.Authorization']]);
  });

  it('answers frames by the result of the function', () => {
    assert.equal(ofType(resources, 'AWS::ApiGatewayV2::RouteResponse').length, 1);
  });

  it('lets only the API and functions with shells post, and only to connections of this API', () => {
    const posting = ofType(resources, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties['Handler'] as string).filter((name) => granted(name).includes('execute-api:ManageConnections'));
    assert.deepEqual(posting.sort(), ['api', 'exec', 'link', 'sweep', 'task-events']);
    for (const name of posting) {
      const { role } = functionNamed(resources, name);
      const posts = statements(resources, role).filter(({ Action }) => list(Action).includes('execute-api:ManageConnections'));
      for (const { Resource } of posts) assert.match(JSON.stringify(Resource), /:execute-api:.*"Ref":"Link[0-9A-F]+".*\/link\/POST\/@connections\/\*/);
    }
  });

  it('tells the functions where runners connect, and that there are no terminals', () => {
    const variables = (name: string) => functionNamed(resources, name).fn.Properties['Environment'].Variables as Record<string, unknown>;
    assert.ok('EPHEMERAL_LINK_URL' in variables('provision-task') && !('EPHEMERAL_LINK_URL' in variables('exec')));
    assert.ok('EPHEMERAL_LINK_ENDPOINT' in variables('exec') && !('EPHEMERAL_LINK_ENDPOINT' in variables('provision-task')));
    for (const name of ['api', 'exec', 'provision-task']) assert.equal(variables(name)['EPHEMERAL_TERMINALS'], 'false');
  });

  it('has ECS Exec and its role again if terminals are on', () => {
    const { resources, template } = synthesize({ terminals: 'true' });
    const [[, definition] = []] = ofType(resources, 'AWS::ECS::TaskDefinition');
    assert.notEqual(definition?.Properties['TaskRoleArn'], undefined);
    assert.ok(JSON.stringify(template).includes('ecs:ExecuteCommand'));
  });

  it('is the default wherever shells have a way out, and refused elsewhere', () => {
    const read = (context: Record<string, string>) => () => readSettings((name) => context[name]);
    for (const network of ['public', 'nat']) {
      const { transport, terminals } = read({ network })();
      assert.deepEqual([transport, terminals], ['link', false]);
    }
    const { transport, terminals } = read({ network: 'private' })();
    assert.deepEqual([transport, terminals], ['exec', true]);
    assert.throws(read({ transport: 'link', network: 'private' }), /transport/);
    assert.throws(read({ transport: 'exec', terminals: 'false' }), /terminals/);
  });
});

describe('a deployment over ECS Exec', () => {
  it('has no WebSocket API and no function for it', () => {
    const { resources } = synthesize({ network: 'private' });
    assert.deepEqual(ofType(resources, 'AWS::ApiGatewayV2::Api').map(([, { Properties }]) => Properties['ProtocolType']), ['HTTP']);
    assert.throws(() => functionNamed(resources, 'link'));
  });
});
