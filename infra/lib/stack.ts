/** The stack of ephemeral on AWS. */

import { CfnOutput, DefaultStackSynthesizer, Stack, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { addApi } from './api.ts';
import { addBus } from './bus.ts';
import { addEvents } from './events.ts';
import { addFiles } from './files.ts';
import { addFunctions, named } from './functions.ts';
import { addLink, addLinkRoutes } from './link.ts';
import { only, readHandlers } from './handlers.ts';
import { addMonitoring } from './monitoring.ts';
import { addNetwork } from './network.ts';
import { addQueues } from './queues.ts';
import type { Settings } from './settings.ts';
import { addTable, readTable } from './table.ts';
import { addCluster, addShellTask } from './task.ts';
import { addWorkflow, stateMachineArn } from './workflow.ts';
import type { Resources } from './resources.ts';

export class EphemeralStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id, {
      description: 'ephemeral: disposable shells behind an asynchronous HTTP API',
      // The CDK CLI checks the version of its bootstrap stack.
      synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
    });
    Tags.of(this).add('application', 'ephemeral');

    const handlers = readHandlers(settings);
    const files = addFiles(this);
    const resources: Resources = {
      table: addTable(this, settings),
      indexNames: readTable().indexes.map(({ name }) => name),
      queues: addQueues(this, handlers),
      stateMachineArn: stateMachineArn(this),
      cluster: addCluster(this, settings),
      task: addShellTask(this, settings),
      network: addNetwork(this, files, settings),
      files,
      bus: addBus(this, settings),
      link: addLink(this, settings),
    };
    const functions = addFunctions(this, handlers, resources, settings);
    if (resources.link) addLinkRoutes(resources.link, named(functions, only(handlers, 'link').name));
    const machine = addWorkflow(this, handlers, functions, settings);
    const rules = addEvents(this, handlers, { ...resources, functions }, settings);
    const stage = addApi(this, named(functions, only(handlers, 'http').name), settings);
    addMonitoring(this, { ...resources, handlers, functions, machine, stage, rules }, settings);
    this.addOutputs(resources, stage.api.apiEndpoint, settings);
  }

  private addOutputs(resources: Resources, url: string, settings: Settings) {
    const outputs = {
      // Without the stage: paths contain it, as they do in local mode.
      ApiUrl: url,
      TableName: resources.table.tableName,
      StateMachineArn: resources.stateMachineArn,
      ClusterArn: resources.cluster.attrArn,
      ControlQueueUrl: resources.queues.control.queue.queueUrl,
      ExecQueueUrl: resources.queues.exec.queue.queueUrl,
      TaskEventsQueueUrl: resources.queues['task-events'].queue.queueUrl,
      WebhooksQueueUrl: resources.queues.webhooks.queue.queueUrl,
      ...(resources.bus && { EventBusArn: resources.bus.eventBusArn }),
      // scripts/deploy starts from these.
      Settings: JSON.stringify(settings.recorded),
    };
    for (const [name, value] of Object.entries(outputs)) new CfnOutput(this, name, { value });
  }
}
