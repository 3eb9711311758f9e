/**
 * Schema changes: one distributed transaction over the coordinator and all contents, the coordinator first. The policy of a new table is
 * written in the same transaction. The gate in front of the schema stays closed from the moment in which it joins the queues of its lanes until the transaction has ended.
 */
import { commandComplete } from '@mirabelle/pgwire'
import {
  checkUniqueIndexes,
  choosePolicy,
  type DdlPlan,
  type DistributionPolicy,
  type TableInfo,
} from '@mirabelle/sql'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { lastCommandTag } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { NO_SETTINGS, type LaneResult } from '../lanes/lane-item.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { SqlError } from '../errors.ts'
import { relayNotices } from './notices.ts'
import { refuseUnlessAllowed } from './pinned-settings.ts'
import { refusal } from './refusal.ts'
import { hold } from './hold.ts'
import { PlanOutdated } from './outdated.ts'
import { runInside, withTransaction } from './run-on.ts'
import { CollectingSink } from './sink.ts'
import type { SchemaGate, Scope } from './scope.ts'
import type { Statement } from './statement.ts'

export async function ddl(scope: Scope, plan: DdlPlan, execute: Execute): Promise<void> {
  for (const [name, value] of plan.settings ?? []) refuseUnlessAllowed(name, value)
  const gate = scope.schemaGate()
  const contents = plan.where === 'everywhere' ? scope.services.dispatcher.dataContents : []
  let leftBehind = false
  try {
    const tag = await withTransaction(
      scope,
      async (transaction) => {
        await holdAlone(scope, gate, transaction, [-1, ...contents])
        leftBehind = true
        return change({ ...scope, transaction }, transaction, contents, plan, execute)
      },
      'plan again',
    )
    leftBehind = false
    for (const notice of plan.notices) scope.notice(notice)
    scope.sink.send(commandComplete(tag))
  } catch (error) {
    if (error instanceof PlanOutdated) gate.open()
    throw error
  } finally {
    // In an open transaction the session opens the gate when that ends.
    if (scope.transaction === undefined) {
      // What was undone has left its own view of the schema, in which the new table is there already.
      if (leftBehind) await scope.reloadSchema(undefined)
      gate.open()
    }
  }
}

/** Holds the lanes with the gate closed behind it. While a segment fails over the gate is open: others have something to do. */
async function holdAlone(
  scope: Scope,
  gate: SchemaGate,
  transaction: DistributedTransaction,
  contents: readonly number[],
): Promise<void> {
  const close = () => gate.close(() => transaction.othersWait())
  transaction.keepsOut = () => gate.isWaitedFor
  close()
  await hold(scope, transaction, contents, () => {
    gate.open()
    return () => {
      // Without a lane it did not keep others from changing the schema themselves.
      if (!transaction.isHolding()) throw new PlanOutdated()
      close()
    }
  })
}

/** Makes the change in the transaction, and everyone's view of the schema with it: nobody else looks until it has ended. */
async function change(
  scope: Scope,
  transaction: DistributedTransaction,
  contents: readonly number[],
  plan: DdlPlan,
  execute: Execute,
): Promise<string> {
  const bytes = queryMessage(plan.sql)
  const before = plan.newTable?.ifNotExists === true ? findTable(scope, plan.newTable) : undefined
  const result = await runInside(scope, transaction, -1, { bytes, syncs: 1, write: true })
  relayNotices(scope, result)
  await scope.reloadSchema(transaction)
  const created = plan.newTable !== undefined && before === undefined
  if (created) await storePolicy(scope, transaction, plan)
  else await tidyPolicies(scope, transaction, plan)
  checkUnique(scope, plan)
  await runOnContents(scope, transaction, contents, bytes)
  await scope.reloadSchema(transaction)
  if (created && plan.followUp !== undefined) return `SELECT ${await followUp(scope, plan.followUp, execute)}`
  return lastCommandTag(result.output) ?? plan.command
}

type Name = { readonly schema: string | undefined; readonly name: string }

function findTable(scope: Scope, name: Name): TableInfo | undefined {
  return scope.view().lookup(name.schema, name.name)
}

async function storePolicy(scope: Scope, transaction: DistributedTransaction, plan: DdlPlan): Promise<void> {
  const name = plan.newTable as NonNullable<DdlPlan['newTable']>
  const table = findTable(scope, name)
  if (table === undefined) throw new SqlError('42P01', `relation "${name.name}" does not exist`)
  const choice = choosePolicy(name.distribution, table)
  if (!choice.ok) throw refusal(choice.error)
  for (const notice of choice.notices) scope.notice(notice)
  const columns = choice.policy.kind === 'hash' ? choice.policy.columns : []
  await asSuperuser(
    scope,
    transaction,
    `INSERT INTO pg_catalog.gp_distribution_policy SELECT ${table.oid}, '${letterOf(choice.policy)}', ${scope.view().segmentCount},
      ARRAY(SELECT a.attnum FROM unnest(ARRAY[${columns.map(quoted).join(',')}]::text[]) WITH ORDINALITY AS k(name, n)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = ${table.oid} AND a.attname = k.name ORDER BY k.n)`,
  )
}

/** Rows of tables that are gone go too. */
async function tidyPolicies(scope: Scope, transaction: DistributedTransaction, plan: DdlPlan): Promise<void> {
  if (!/^(DROP|ALTER)/.test(plan.command)) return
  await asSuperuser(
    scope,
    transaction,
    'DELETE FROM pg_catalog.gp_distribution_policy p WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = p.localoid)',
  )
}

function letterOf(policy: DistributionPolicy): 'p' | 'r' {
  return policy.kind === 'replicated' ? 'r' : 'p'
}

function quoted(name: string): string {
  return `'${name.replaceAll("'", "''")}'`
}

async function asSuperuser(scope: Scope, transaction: DistributedTransaction, sql: string): Promise<void> {
  await runInside(scope, transaction, -1, {
    bytes: queryMessage(sql),
    syncs: 1,
    write: true,
    settings: NO_SETTINGS,
  })
}

function checkUnique(scope: Scope, plan: DdlPlan): void {
  if (plan.checkUnique === undefined) return
  const table = findTable(scope, plan.checkUnique)
  const error = table === undefined ? undefined : checkUniqueIndexes(table)
  if (error !== undefined) throw refusal(error)
}

async function runOnContents(
  scope: Scope,
  transaction: DistributedTransaction,
  contents: readonly number[],
  bytes: Uint8Array,
): Promise<void> {
  const runs = contents.map((content) =>
    transaction.run(content, { bytes, syncs: 1, write: true, settings: scope.settings }),
  )
  scope.slot.set(() => {
    for (const run of runs) run.cancel()
  })
  const settled = await Promise.allSettled(runs.map((run) => run.promise))
  scope.slot.set(undefined)
  for (const one of settled) {
    if (one.status === 'rejected') throw one.reason
    const error = firstErrorMessage((one.value as LaneResult).output)
    if (error !== undefined) throw SqlError.fromBytes(error)
  }
}

/** CREATE TABLE AS: fills the new table. Returns the number of rows. */
async function followUp(scope: Scope, sql: string, execute: Execute): Promise<number> {
  const planned = scope.services.planner.planOne(sql, scope.view())
  const sink = new CollectingSink(scope.gatherLimitBytes, 'the answer')
  await execute({ ...scope, sink, describe: false }, { planned, bound: undefined })
  const tag = sink.others.map((message) => lastCommandTag(message)).find((one) => one !== undefined) ?? ''
  return Number(/(\d+)$/.exec(tag)?.[1] ?? 0)
}
/** Carries out one planned statement (executor.ts), for what a schema change does afterwards. */
type Execute = (scope: Scope, statement: Statement) => Promise<void>
