/** Kind 4 of sql §5: the tables are gathered, then the statement runs on the coordinator's PostgreSQL. Always right, never fast. */
import type { GatheredPlan } from '@mirabelle/sql'
import { isUndone } from '../dtx/undone.ts'
import { LaneLost } from '../lanes/lane-item.ts'
import { AnswerRelay } from '../execute/answer-relay.ts'
import { isCancelled, translate } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import { messagesFor, type Bound } from '../execute/statement.ts'
import { gatheredName, withGathered } from './gather.ts'
import type { LocalBracket } from './local-bracket.ts'

export async function gathered(scope: Scope, plan: GatheredPlan, bound: Bound | undefined): Promise<void> {
  const relay = await readGathered(scope, plan.steps, bound, plan.sql)
  relay.finish()
}

/** Gathers, runs `sql` over it and relays its answer. Outside transactions it begins anew when a failover, a role change or others got in its way. */
export async function readGathered(
  scope: Scope,
  steps: GatheredPlan['steps'],
  bound: Bound | undefined,
  sql: string,
): Promise<AnswerRelay> {
  for (;;) {
    const relay = new AnswerRelay(scope.sink, { describe: scope.describe })
    const own = scope.transaction === undefined ? scope.services.dispatcher.begin() : undefined
    const transaction = scope.transaction ?? own
    if (transaction === undefined) throw new Error('no transaction')
    try {
      await withGathered(scope, transaction, { steps, bound, apart: own !== undefined }, (bracket) =>
        finalQuery(bracket, relay, messagesFor(gatheredName(sql, bracket), bound)),
      )
      return relay
    } catch (error) {
      if (own === undefined || relay.started || !mayRunAgain(scope, error)) throw translate(scope, error)
      scope.slot.reset()
    } finally {
      await own?.rollback()
    }
  }
}

async function finalQuery(bracket: LocalBracket, relay: AnswerRelay, bytes: Uint8Array): Promise<void> {
  const result = await bracket.run({
    bytes,
    syncs: 1,
    write: true,
    onOutput: (chunk) => relay.take(-1, chunk),
  })
  void relay.take(-1, result.output)
}

function mayRunAgain(scope: Scope, error: unknown): boolean {
  if (scope.slot.reason === undefined) return error instanceof LaneLost || isUndone(error)
  return scope.slot.reason === 'preempted' && (isUndone(error) || isCancelled(error))
}
