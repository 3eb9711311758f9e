/**
 * Refusals. Inside the planner a refusal is thrown as `Refusal` and comes out as an `unsupported` plan: nothing of this package
 * throws on a user's SQL.
 */
import type { UnsupportedPlan } from './plan.ts'

/** Why a statement is not run, with SQLSTATE. */
export class Refusal extends Error {
  readonly plan: UnsupportedPlan

  constructor(
    code: string,
    message: string,
    hint?: string,
    more: { detail?: string; position?: number } = {},
  ) {
    super(message)
    this.name = 'Refusal'
    this.plan = { kind: 'unsupported', code, message, ...(hint === undefined ? {} : { hint }), ...more }
  }
}

/** 0A000 feature_not_supported. */
export function notSupported(message: string, hint: string): Refusal {
  return new Refusal('0A000', message, hint)
}
