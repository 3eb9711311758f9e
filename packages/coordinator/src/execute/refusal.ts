/** What the planner refuses, as clients are told. */
import { SqlError } from '../errors.ts'

/** A refusal of the planner as an error for the client. */
export function refusal(plan: {
  readonly code: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  readonly position?: number
}): SqlError {
  return new SqlError(plan.code, plan.message, {
    ...(plan.detail === undefined ? {} : { detail: plan.detail }),
    ...(plan.hint === undefined ? {} : { hint: plan.hint }),
    ...(plan.position === undefined ? {} : { position: plan.position }),
  })
}
