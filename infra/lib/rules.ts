/** The AWS Solutions rules of cdk-nag, checked at every synthesis, and the suppressions with their reasons. */

import { Validations, type App } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';

export interface Suppression {
  /** The full id of the finding. */
  readonly finding: string;
  readonly reason: string;
}

/** Makes the synthesis fail on every finding that is not suppressed. */
export function checkRules(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { writeSuppressionsToCloudFormation: false }));
}

/** Suppresses these findings on a construct. */
export function suppress(construct: IConstruct, ...suppressions: readonly Suppression[]): void {
  Validations.of(construct).acknowledge(...suppressions.map(({ finding, reason }) => ({ id: finding, reason })));
}
