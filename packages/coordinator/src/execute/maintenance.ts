/** VACUUM, ANALYZE, CHECKPOINT, REINDEX: on the coordinator and on every content, each by itself. */
import { commandComplete } from '@mirabelle/pgwire'
import type { MaintenancePlan } from '@mirabelle/sql'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { SqlError } from '../errors.ts'
import { runOn, translate } from './run-on.ts'
import { AnswerRelay } from './answer-relay.ts'
import type { Scope } from './scope.ts'

export async function maintenance(scope: Scope, sql: string, plan: MaintenancePlan): Promise<void> {
  const { dispatcher } = scope.services
  const contents = [-1, ...dispatcher.dataContents]
  if (scope.transaction !== undefined) {
    if (plan.forbiddenInTransaction)
      throw new SqlError('25001', `${plan.command} cannot run inside a transaction block`)
    const relay = await runOn(scope, contents, {
      write: true,
      part: () => ({ bytes: queryMessage(sql) }),
      relay: () => new AnswerRelay(scope.sink, { describe: false, answerOf: -1 }),
    })
    return relay.finish()
  }
  const runs = contents.map((content) =>
    dispatcher.runOne(content, {
      bytes: queryMessage(sql),
      syncs: 1,
      settings: scope.settings,
      write: true,
    }),
  )
  scope.slot.set(() => {
    for (const run of runs) run.cancel()
  })
  try {
    const settled = await Promise.allSettled(runs.map((run) => run.promise))
    for (const one of settled) {
      if (one.status === 'rejected') throw translate(scope, one.reason)
      const error = firstErrorMessage(one.value.output)
      if (error !== undefined) throw SqlError.fromBytes(error)
    }
  } finally {
    scope.slot.set(undefined)
  }
  scope.sink.send(commandComplete(plan.command))
}
