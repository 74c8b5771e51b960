/** The stack of ephemeral on AWS. */

import { CfnOutput, DefaultStackSynthesizer, Stack, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { addApi } from './api.ts';
import { addBus } from './bus.ts';
import { addEvents } from './events.ts';
import { addFiles } from './files.ts';
import { addFunctions, named } from './functions.ts';
import { addInstances } from './instances.ts';
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
    const table = addTable(this, settings);
    const queues = addQueues(this, handlers);
    const cluster = addCluster(this, settings);
    const task = addShellTask(this, settings);
    const files = addFiles(this);
    const network = addNetwork(this, files, settings);
    const resources: Resources = {
      table,
      indexNames: readTable().indexes.map(({ name }) => name),
      queues,
      stateMachineArn: stateMachineArn(this),
      cluster,
      task,
      network,
      instances: addInstances(this, cluster, network, settings),
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
