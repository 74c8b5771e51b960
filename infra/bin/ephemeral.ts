import { App } from 'aws-cdk-lib';
import flags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { checkRules } from '../lib/rules.ts';
import { readSettings } from '../lib/settings.ts';
import { EphemeralStack } from '../lib/stack.ts';

const app = new App({ context: flags });
const settings = readSettings((name) => app.node.tryGetContext(name));
new EphemeralStack(app, settings.stackName, settings);
checkRules(app);
app.synth();
