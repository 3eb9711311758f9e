/** SHOW ALL: the settings of PostgreSQL as the coordinator's engine has them, with those of the cluster among them. */
import { commandComplete, dataRow, rowDescription, rowsOf, textField } from '@mirabelle/pgwire'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { asBuffer } from '../execute/answer-stream.ts'
import { runLocal } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import type { SessionState } from './session-state.ts'
import { knownValue } from './known-value.ts'

/** The columns of its answer. */
export const SHOW_ALL_COLUMNS = ['name', 'setting', 'description'] as const

export async function showAll(state: SessionState, scope: Scope): Promise<void> {
  const result = await runLocal(
    { ...scope, transaction: undefined },
    { bytes: queryMessage('SHOW ALL'), syncs: 1, write: false, settings: scope.fullSettings },
  )
  const error = firstErrorMessage(result.output)
  if (error !== undefined) throw SqlError.fromBytes(error)
  const rows = new Map<string, readonly [value: string, description: string]>()
  for (const [name, value, description] of rowsOf(asBuffer(result.output)))
    rows.set(name ?? '', [value ?? '', description ?? ''])
  for (const { name, value, description } of state.services.hooks.settingRows())
    rows.set(name, [value, description])
  if (scope.describe) scope.sink.send(rowDescription(SHOW_ALL_COLUMNS.map((name) => textField(name))))
  for (const [name, [value, description]] of [...rows].sort(byName))
    scope.sink.send(dataRow([name, knownValue(state, name) ?? value, description]))
  scope.sink.send(commandComplete('SHOW'))
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  const [left, right] = [a.toLowerCase(), b.toLowerCase()]
  return left < right ? -1 : left > right ? 1 : 0
}
