/** One statement of a session, whatever it is, with the timeout around it. The answer goes to a sink; what goes wrong is thrown. */
import { execute } from '../execute/executor.ts'
import type { Sink } from '../execute/sink.ts'
import type { Statement } from '../execute/statement.ts'
import { sessionAction } from './session-actions.ts'
import type { SessionState } from './session-state.ts'
import { abortedBlock } from './transaction-actions.ts'

export async function runStatement(
  state: SessionState,
  statement: Statement,
  sink: Sink,
  describe: boolean,
): Promise<void> {
  const { plan, sql } = statement.planned
  const { slot, services } = state
  state.begins(sql)
  tellOfRollback(state, statement)
  if (state.transaction?.failed === true && !endsFailure(statement)) throw abortedBlock()
  slot.begin()
  const timeout = state.own('statement_timeout')
  const timer = timeout > 0 ? services.ports.clock.setTimer(timeout, () => slot.fire('timeout')) : undefined
  try {
    await state.passGate()
    const scope = state.scope(sink, describe)
    if (plan.kind === 'session') await sessionAction(state, scope, sql, plan.action)
    else await execute(scope, statement)
  } catch (error) {
    throw state.translated(error)
  } finally {
    timer?.clear()
    slot.end()
  }
}

/** The transaction was rolled back while the client idled: its next statement says so. COMMIT ends the transaction all the same. */
function tellOfRollback(state: SessionState, { planned: { plan } }: Statement): void {
  const { transaction } = state
  const untold = transaction?.untold
  if (transaction === undefined || untold === undefined) return
  transaction.untold = undefined
  if (plan.kind === 'session' && plan.action.type === 'rollback') return
  if (plan.kind === 'session' && plan.action.type === 'commit') state.transaction = undefined
  throw untold
}

/** What may run in a failed transaction. */
function endsFailure({ planned: { plan } }: Statement): boolean {
  if (plan.kind === 'empty') return true
  return plan.kind === 'session' && ['commit', 'rollback', 'rollbackTo'].includes(plan.action.type)
}
