import { App } from 'aws-cdk-lib';
import flags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { checkRules } from '../lib/rules.ts';
import { readSettings, type Settings } from '../lib/settings.ts';
import { EphemeralStack } from '../lib/stack.ts';

const app = new App({ context: flags });
const settings = settingsOrExit();
new EphemeralStack(app, settings.stackName, settings);
checkRules(app);
app.synth();

/** Prints an invalid setting without a stack trace. */
function settingsOrExit(): Settings {
  try {
    return readSettings((name) => app.node.tryGetContext(name));
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}. hint: docs/operations.md lists the settings`);
    process.exit(1);
  }
}
