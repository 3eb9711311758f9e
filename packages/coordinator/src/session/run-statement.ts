/** One statement of a session, whatever it is, with the timeout around it. The answer goes to a sink; what goes wrong is thrown. */
import type { PlannedStatement } from '@mirabelle/sql'
import { execute } from '../execute/executor.ts'
import type { Sink } from '../execute/sink.ts'
import { PlanOutdated } from '../execute/outdated.ts'
import type { Statement } from '../execute/statement.ts'
import { sessionAction } from './session-actions.ts'
import type { SessionState } from './session-state.ts'
import { abortedBlock } from './transaction-actions.ts'

export interface SessionStatement extends Statement {
  /** Of the schema that it was planned with. */
  readonly version: number
  /** The same with the schema as it is now. Rejects when its client could not understand the answer any more. */
  readonly planAgain: () => SessionStatement | Promise<SessionStatement>
}

export async function runStatement(
  state: SessionState,
  statement: SessionStatement,
  sink: Sink,
  describe: boolean,
): Promise<void> {
  const { slot, services } = state
  state.begins(statement.planned.sql)
  tellOfRollback(state, statement)
  if (state.transaction?.failed === true && !endsFailure(statement)) throw abortedBlock()
  slot.begin()
  const timeout = state.own('statement_timeout')
  const timer = timeout > 0 ? services.ports.clock.setTimer(timeout, () => slot.fire('timeout')) : undefined
  try {
    await carryOut(state, statement, sink, describe)
  } catch (error) {
    throw state.translated(error)
  } finally {
    timer?.clear()
    slot.end()
  }
}

/** A statement of a Query message: `text` is all of it. */
export function simpleStatement(
  state: SessionState,
  planned: PlannedStatement,
  text: string,
): SessionStatement {
  const { planner, schema } = state.services
  return {
    planned,
    bound: undefined,
    version: schema.snapshot.version,
    planAgain: () => {
      const { source = text } = planned
      return simpleStatement(state, { source, ...planner.planOne(source, state.view()) }, text)
    },
  }
}

/** Until it has run with a plan for the schema that it met. */
async function carryOut(
  state: SessionState,
  statement: SessionStatement,
  sink: Sink,
  describe: boolean,
): Promise<void> {
  let current = statement
  for (;;) {
    await state.passGate()
    if (current.version !== state.services.schema.snapshot.version) {
      current = await current.planAgain()
      continue
    }
    const scope = state.scope(sink, describe, current.version)
    const { plan, sql } = current.planned
    try {
      if (plan.kind === 'session') await sessionAction(state, scope, sql, plan.action)
      else await execute(scope, current)
      return
    } catch (error) {
      if (!(error instanceof PlanOutdated)) throw error
    }
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
