/** BEGIN, COMMIT, ROLLBACK, savepoints, SET TRANSACTION. */
import type { SessionAction, TransactionModes } from '@mirabelle/sql'
import { SqlError } from '../errors.ts'
import type { Scope } from '../execute/scope.ts'
import { report } from './set-actions.ts'
import type { SessionState } from './session-state.ts'
import { SessionTransaction } from './session-transaction.ts'

type Control = Extract<
  SessionAction,
  { type: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollbackTo' | 'release' | 'setTransaction' }
>

export function isTransactionControl(action: SessionAction): action is Control {
  switch (action.type) {
    case 'begin':
    case 'commit':
    case 'rollback':
    case 'savepoint':
    case 'rollbackTo':
    case 'release':
    case 'setTransaction':
      return true
    default:
      return false
  }
}

/** Returns the command tag. */
export async function controlTransaction(
  state: SessionState,
  scope: Scope,
  action: Control,
): Promise<string> {
  switch (action.type) {
    case 'begin':
      return begin(state, scope, action.modes)
    case 'commit':
      return commit(state, scope, action.chain)
    case 'rollback':
      return rollback(state, scope, action.chain)
    case 'savepoint':
      await inBlock(state, 'SAVEPOINT').savepoint(action.name)
      return 'SAVEPOINT'
    case 'release':
      await inBlock(state, 'RELEASE SAVEPOINT').release(action.name)
      return 'RELEASE'
    case 'rollbackTo': {
      const transaction = inBlock(state, 'ROLLBACK TO SAVEPOINT')
      const { schemaWasChanged } = await transaction.rollbackTo(action.name)
      if (schemaWasChanged) await scope.reloadSchema(transaction.dtx)
      report(state)
      return 'ROLLBACK'
    }
    case 'setTransaction':
      setTransaction(state, scope, action.modes, action.session)
      return 'SET'
  }
}

function inBlock(state: SessionState, what: string): SessionTransaction {
  const { transaction } = state
  if (transaction?.explicit !== true)
    throw new SqlError('25P01', `${what} can only be used in transaction blocks`)
  return transaction
}

function begin(state: SessionState, scope: Scope, modes: TransactionModes): string {
  const { transaction } = state
  if (transaction?.explicit === true) {
    scope.notice({
      severity: 'WARNING',
      code: '25001',
      message: 'there is already a transaction in progress',
    })
    return 'BEGIN'
  }
  if (transaction !== undefined) {
    // In a message of several statements: what ran before becomes part of the transaction.
    transaction.explicit = true
    transaction.modes = modes
  } else state.transaction = new SessionTransaction(state, true, modes)
  return 'BEGIN'
}

async function commit(state: SessionState, scope: Scope, chain: boolean): Promise<string> {
  const { transaction } = state
  if (transaction?.explicit !== true) warnNoTransaction(scope)
  if (transaction === undefined) return 'COMMIT'
  if (transaction.failed) return rollback(state, scope, chain)
  state.transaction = undefined
  try {
    await transaction.commit()
  } finally {
    ended(state)
  }
  if (chain) begin(state, scope, transaction.modes)
  return 'COMMIT'
}

async function rollback(state: SessionState, scope: Scope, chain: boolean): Promise<string> {
  const { transaction } = state
  if (transaction?.explicit !== true) warnNoTransaction(scope)
  if (transaction === undefined) return 'ROLLBACK'
  state.transaction = undefined
  await transaction.rollback()
  ended(state)
  if (chain) begin(state, scope, transaction.modes)
  return 'ROLLBACK'
}

function ended(state: SessionState): void {
  state.cursors.endTransaction()
  report(state)
}

function warnNoTransaction(scope: Scope): void {
  scope.notice({ severity: 'WARNING', code: '25P01', message: 'there is no transaction in progress' })
}

function setTransaction(state: SessionState, scope: Scope, modes: TransactionModes, session: boolean): void {
  if (session) {
    const { isolation, readOnly, deferrable } = modes
    if (isolation !== undefined) state.settings.set('default_transaction_isolation', isolation, false)
    if (readOnly !== undefined)
      state.settings.set('default_transaction_read_only', readOnly ? 'on' : 'off', false)
    if (deferrable !== undefined)
      state.settings.set('default_transaction_deferrable', deferrable ? 'on' : 'off', false)
    return report(state)
  }
  const { transaction } = state
  if (transaction === undefined) {
    scope.notice({
      severity: 'WARNING',
      code: '25P01',
      message: 'SET TRANSACTION can only be used in transaction blocks',
    })
    return
  }
  if (transaction.started && modes.isolation !== undefined)
    throw new SqlError('25001', 'SET TRANSACTION ISOLATION LEVEL must be called before any query')
  transaction.modes = { ...transaction.modes, ...modes }
}

/** Ends what several statements of one message have done together. */
export async function endImplicit(state: SessionState): Promise<void> {
  const { transaction } = state
  if (transaction === undefined || transaction.explicit) return
  state.transaction = undefined
  try {
    await transaction.commit()
  } finally {
    ended(state)
  }
}

/** Takes note that a statement failed in the open transaction. */
export async function failTransaction(state: SessionState, error: SqlError): Promise<void> {
  const { transaction } = state
  if (transaction === undefined) return
  if (!transaction.explicit) {
    state.transaction = undefined
    await transaction.rollback()
    return ended(state)
  }
  if (transaction.failed) return
  transaction.failed = true
  const lost = error.wire === undefined && (error.sqlstate === '40001' || error.sqlstate === '40P01')
  // Without a savepoint to go back to, or when a segment was lost, only ROLLBACK is left: the lanes need not wait for the client to say it.
  if (lost || transaction.savepointCount === 0) {
    await transaction.giveUp(
      lost
        ? error
        : new SqlError(
            '25P02',
            'current transaction is aborted, commands ignored until end of transaction block',
          ),
    )
    state.cursors.endTransaction()
  }
}

export function abortedBlock(): SqlError {
  return new SqlError(
    '25P02',
    'current transaction is aborted, commands ignored until end of transaction block',
  )
}
