/**
 * Statements that touch no distributed table: they run on the coordinator's own PostgreSQL. A read runs beside an open transaction, so
 * that a transaction that idles never holds the coordinator's lane; a write takes the lane into the transaction.
 */
import type { CoordinatorPlan } from '@mirabelle/sql'
import { SqlError } from '../errors.ts'
import { AnswerRelay } from './answer-relay.ts'
import { runOn } from './run-on.ts'
import type { Scope } from './scope.ts'
import { messagesFor, type Bound } from './statement.ts'

/** They depend on what this session did before, which the shared backend does not know. */
const SESSION_BOUND = new Set(['currval', 'lastval'])
/** What they do is not part of a transaction anyway. */
const OUTSIDE_TRANSACTIONS = new Set(['nextval', 'setval', 'gp_request_fts_probe_scan'])
const LOOKS_AT_CLIENT = /current_setting|pg_settings|pg_show_all_settings|pg_backend_pid/i

export async function coordinator(
  scope: Scope,
  sql: string,
  plan: CoordinatorPlan,
  bound: Bound | undefined,
): Promise<void> {
  const bindingFunction = plan.functions.find((name) => SESSION_BOUND.has(name))
  if (bindingFunction !== undefined) {
    throw new SqlError(
      '0A000',
      `${bindingFunction} is not supported: sequences are shared by all sessions of the coordinator`,
      {
        hint: 'Use INSERT … RETURNING, or the value that nextval gave.',
      },
    )
  }
  if (plan.functions.includes('gp_request_fts_probe_scan')) await scope.services.hooks.requestFtsScan()
  const bytes = messagesFor(sql, bound)
  const settings = LOOKS_AT_CLIENT.test(sql) ? scope.fullSettings : scope.settings
  const inside = scope.transaction?.hasBegunOn(-1) === true || (plan.write && isTransactional(plan))
  const relay = await runOn(inside ? scope : { ...scope, transaction: undefined }, [-1], {
    write: plan.write,
    part: () => ({ bytes, settings }),
    relay: () => new AnswerRelay(scope.sink, { describe: scope.describe }),
  })
  relay.finish()
}

function isTransactional(plan: CoordinatorPlan): boolean {
  return plan.relations.length > 0 || !plan.functions.some((name) => OUTSIDE_TRANSACTIONS.has(name))
}
