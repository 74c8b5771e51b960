import { App } from 'aws-cdk-lib';
import { EphemeralStack } from '../lib/stack.ts';
import { readSettings } from '../lib/settings.ts';
import { checkRules } from '../lib/rules.ts';

const app = new App();
const settings = readSettings((name) => app.node.tryGetContext(name));
new EphemeralStack(app, settings.stackName, settings);
checkRules(app);
app.synth();
