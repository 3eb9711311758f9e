/** Carries out one planned statement: by its kind. */
import { EMPTY_QUERY_RESPONSE } from '@mirabelle/pgwire'
import { copyIn } from '../copy/copy-in.ts'
import { copyOut } from '../copy/copy-out.ts'
import { gathered } from '../gather/gathered.ts'
import { SqlError } from '../errors.ts'
import { coordinator } from './coordinator.ts'
import { ddl } from './ddl.ts'
import { direct, pushdown } from './pass-through.ts'
import { explain } from './explain.ts'
import { insert } from './insert.ts'
import { insertEvaluated } from './insert-evaluated.ts'
import { maintenance } from './maintenance.ts'
import { refreshLiveViews } from './refresh-live-views.ts'
import { refusal } from './refusal.ts'
import type { Scope } from './scope.ts'
import type { Statement } from './statement.ts'

/** Resolves when the whole answer is in the sink; rejects with what the client is to be told. Session actions are the session's own. */
export async function execute(scope: Scope, statement: Statement): Promise<void> {
  const { planned, bound } = statement
  const { plan } = planned
  await refreshLiveViews(scope, planned.liveViews)
  switch (plan.kind) {
    case 'empty':
      return scope.sink.send(EMPTY_QUERY_RESPONSE)
    case 'coordinator':
      return coordinator(scope, planned.sql, plan, bound)
    case 'direct':
      return direct(scope, { ...planned, plan }, bound)
    case 'pushdown':
      return pushdown(scope, planned.sql, plan, bound)
    case 'gathered':
      return gathered(scope, plan, bound)
    case 'insert':
      return insert(scope, { ...planned, plan }, bound)
    case 'insertEvaluated':
      return insertEvaluated(scope, plan, bound)
    case 'ddl':
      return ddl(scope, plan, execute)
    case 'maintenance':
      return maintenance(scope, planned.sql, plan)
    case 'copyIn':
      return copyIn(scope, plan)
    case 'copyOut':
      return copyOut(scope, plan, bound)
    case 'explain':
      return explain(scope, plan, bound)
    case 'unsupported':
      throw refusal(plan)
    case 'session':
      throw new SqlError('XX000', `session action ${plan.action.type} reached the executor`)
  }
}
