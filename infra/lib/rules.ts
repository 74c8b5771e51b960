/** AWS's own rules, checked at every synthesis, and the reasons where one is not followed. */

import { Validations, type App } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';

export interface Reason {
  /** The finding, in full. */
  readonly finding: string;
  readonly reason: string;
}

/** A finding ends the synthesis, unless it was excused. */
export function checkRules(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { writeSuppressionsToCloudFormation: false }));
}

/** Says why these findings are none. */
export function excuse(construct: IConstruct, ...reasons: readonly Reason[]): void {
  Validations.of(construct).acknowledge(...reasons.map(({ finding, reason }) => ({ id: finding, reason })));
}
