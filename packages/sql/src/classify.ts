/**
 * From the kind of a parsed statement to the file that plans it. Exhaustive by construction: what is not known is refused.
 */
import type { Ast } from './ast.ts'
import { distributedTables, makeContext, checkNames, type PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import type { CutText } from './lex/distributed-clause.ts'
import type { MaintenancePlan, Plan } from './plan.ts'
import { planCopy } from './plan-copy.ts'
import { planDdl } from './plan-ddl.ts'
import { planExplain } from './plan-explain.ts'
import { planInsert } from './plan-insert.ts'
import { coordinatorPlan, planSelect } from './plan-select.ts'
import {
  planAlterSystem,
  planDeclareCursor,
  planDiscard,
  planExecute,
  planFetch,
  planPrepare,
  planSet,
  planShow,
  planTransaction,
  session,
} from './plan-session.ts'
import { planMerge, planUpdateOrDelete } from './plan-write.ts'
import { refuseSystemTables } from './system-tables.ts'
import { bodyTouchesTables } from './analysis/function-body.ts'

type Clause = CutText['clauses'][number] | undefined

/** Throws Refusal for what is not supported. */
export function classify(context: PlanContext, clause: Clause): Plan {
  const { kind, body } = context.statement
  refuseSystemTables(context)
  switch (kind) {
    case 'SelectStmt':
      return planSelect(context)
    case 'InsertStmt':
      return planInsert(context)
    case 'UpdateStmt':
    case 'DeleteStmt':
      return planUpdateOrDelete(context)
    case 'MergeStmt':
      return planMerge(context)
    case 'CopyStmt':
      return planCopy(context)
    case 'TransactionStmt':
      return planTransaction(body)
    case 'VariableSetStmt':
      return planSet(body, context.sql)
    case 'AlterSystemStmt':
      return planAlterSystem(body, context.sql)
    case 'VariableShowStmt':
      return planShow(body)
    case 'DiscardStmt':
      return planDiscard(body)
    case 'PrepareStmt':
      return planPrepare(context)
    case 'ExecuteStmt':
      return planExecute(context)
    case 'DeallocateStmt':
      return session({ type: 'deallocate', name: body.isall === true ? undefined : String(body.name) })
    case 'DeclareCursorStmt':
      return planDeclareCursor(context)
    case 'FetchStmt':
      return planFetch(body)
    case 'ClosePortalStmt':
      return session({ type: 'closeCursor', name: body.portalname as string | undefined })
    case 'UnlistenStmt':
      return session({ type: 'unlisten' })
    case 'ExplainStmt':
      return planExplain(context, (inner) =>
        classify(makeContext(inner, context.catalog, context.paramTypes, context), undefined),
      )
    case 'ConstraintsSetStmt':
      return coordinatorPlan(context, false, false)
    case 'VacuumStmt':
      return maintenance(body.is_vacuumcmd === true ? 'VACUUM' : 'ANALYZE', body.is_vacuumcmd === true)
    case 'CheckPointStmt':
      return maintenance('CHECKPOINT', false)
    case 'ReindexStmt':
      return maintenance(
        'REINDEX',
        body.kind === 'REINDEX_OBJECT_SYSTEM' || body.kind === 'REINDEX_OBJECT_DATABASE',
      )
    case 'ClusterStmt':
      return maintenance('CLUSTER', body.relation === undefined)
    case 'DoStmt':
      return planDo(context, body)
    case 'CallStmt':
      checkNames(context)
      return coordinatorPlan(context, true)
    default:
      return planDdl(context, clause) ?? refuse(kind)
  }
}

function maintenance(command: MaintenancePlan['command'], forbiddenInTransaction: boolean): MaintenancePlan {
  return { kind: 'maintenance', command, forbiddenInTransaction }
}

/** DO runs on the coordinator; a block that names distributed tables would see them empty, and what it made would be there alone. */
function planDo(context: PlanContext, body: Ast): Plan {
  const options = new Map(
    ((body.args ?? []) as Ast[]).map((item) => [
      String(item.DefElem.defname),
      String(item.DefElem.arg?.String?.sval ?? ''),
    ]),
  )
  const touches = bodyTouchesTables(options.get('language') ?? 'plpgsql', options.get('as') ?? '', (name) => {
    const table = context.catalog.lookup(undefined, name) ?? context.catalog.lookup('public', name)
    return table?.policy !== undefined || table?.viewTouchesDistributed === true
  })
  if (touches)
    throw notSupported(
      'DO blocks that may touch distributed tables or change the schema are not supported',
      'Run the statements of the block from the application.',
    )
  if (distributedTables(context).length > 0)
    throw notSupported(
      'DO blocks over distributed tables are not supported',
      'Run the statements themselves.',
    )
  return coordinatorPlan(context, true, false)
}

const REFUSED: Record<string, readonly [string, string]> = {
  LockStmt: [
    'LOCK TABLE is not supported',
    'Transactions on one segment run one after the other; lock rows with SELECT … FOR UPDATE.',
  ],
  ListenStmt: ['LISTEN is not supported', 'Poll a table, or use a message broker.'],
  NotifyStmt: ['NOTIFY is not supported', 'Poll a table, or use a message broker.'],
  CreatedbStmt: ['CREATE DATABASE is not supported: a cluster is one database', 'Use CREATE SCHEMA.'],
  DropdbStmt: ['DROP DATABASE is not supported: a cluster is one database', 'Use DROP SCHEMA … CASCADE.'],
  AlterDatabaseStmt: ['ALTER DATABASE is not supported', 'Use ALTER ROLE ALL SET for settings.'],
  AlterDatabaseSetStmt: ['ALTER DATABASE is not supported', 'Use ALTER ROLE ALL SET for settings.'],
  CreateTableSpaceStmt: ['tablespaces are not supported', 'Leave the clause out.'],
  DropTableSpaceStmt: ['tablespaces are not supported', 'Leave the clause out.'],
  RefreshMatViewStmt: ['materialized views are not supported', 'Use CREATE TABLE … AS.'],
  CreatePublicationStmt: ['logical replication is not supported', 'Read the changes with queries.'],
  CreateSubscriptionStmt: ['logical replication is not supported', 'Load the data with COPY.'],
  LoadStmt: ['LOAD is not supported', 'Extensions are given when the cluster is made.'],
  CreateForeignTableStmt: ['foreign tables are not supported', 'Load the data with COPY.'],
  ImportForeignSchemaStmt: ['foreign tables are not supported', 'Load the data with COPY.'],
  CreateEventTrigStmt: ['event triggers are not supported', 'Leave it out.'],
}

function refuse(kind: string): never {
  const known = REFUSED[kind]
  if (known !== undefined) throw notSupported(known[0], known[1])
  throw notSupported(
    `this kind of statement (${kind}) is not supported`,
    'See the documentation for what is.',
  )
}
