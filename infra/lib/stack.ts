/** All of ephemeral on AWS. */

import { CfnOutput, DefaultStackSynthesizer, Stack, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { addApi } from './api.ts';
import { addEvents } from './events.ts';
import { addFunctions, named } from './functions.ts';
import { only, readHandlers } from './handlers.ts';
import { addMonitoring } from './monitoring.ts';
import { addNetwork } from './network.ts';
import { addQueues } from './queues.ts';
import type { Settings } from './settings.ts';
import { addTable, readTable } from './table.ts';
import { addCluster, addShellTask } from './task.ts';
import { addWorkflow, stateMachineArn } from './workflow.ts';
import type { World } from './world.ts';

export class EphemeralStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id, {
      description: 'ephemeral: disposable shells behind an asynchronous HTTP API',
      // The CLI checks the version of its bootstrap stack itself.
      synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
    });
    Tags.of(this).add('application', 'ephemeral');

    const handlers = readHandlers();
    const world: World = {
      table: addTable(this, settings),
      indexNames: readTable().indexes.map(({ name }) => name),
      queues: addQueues(this, handlers),
      stateMachineArn: stateMachineArn(this),
      cluster: addCluster(this, settings),
      task: addShellTask(this, settings),
      network: addNetwork(this, settings),
    };
    const functions = addFunctions(this, handlers, world, settings);
    const machine = addWorkflow(this, handlers, functions, settings);
    addEvents(this, handlers, { ...world, functions }, settings);
    const stage = addApi(this, named(functions, only(handlers, 'http').name), settings);
    addMonitoring(this, { ...world, handlers, functions, machine, stage }, settings);
    this.addOutputs(world, stage.api.apiEndpoint);
  }

  private addOutputs(world: World, url: string) {
    const outputs = {
      // The stage is part of every path, as it is on one machine.
      ApiUrl: url,
      TableName: world.table.tableName,
      StateMachineArn: world.stateMachineArn,
      ClusterArn: world.cluster.attrArn,
      ControlQueueUrl: world.queues.control.queue.queueUrl,
      ExecQueueUrl: world.queues.exec.queue.queueUrl,
      TaskEventsQueueUrl: world.queues['task-events'].queue.queueUrl,
      WebhooksQueueUrl: world.queues.webhooks.queue.queueUrl,
    };
    for (const [name, value] of Object.entries(outputs)) new CfnOutput(this, name, { value });
  }
}
