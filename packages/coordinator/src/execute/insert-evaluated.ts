/**
 * INSERT whose rows are evaluated once, on the coordinator: serial columns, volatile defaults, INSERT … SELECT. The coordinator's own, empty
 * table evaluates them inside a savepoint that is rolled back; what sequences gave out is made durable before any row goes to a content. Where many rows may
 * come the table gets new files inside the savepoint, if its user may truncate it: they go with the rollback, where rows in the old ones would stay until they are vacuumed.
 */
import {
  Backend,
  commandComplete,
  encodeBind,
  encodeExecute,
  encodeParse,
  forEachWholeMessage,
  readDataRow,
  SYNC,
} from '@mirabelle/pgwire'
import { buildInsertParts, type InsertEvaluatedPlan } from '@mirabelle/sql'
import { Breather } from '@mirabelle/runtime'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { literal } from '../catalog/catalog-sql.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { quoteName } from '../session/quote.ts'
import { SqlError } from '../errors.ts'
import { loadRows } from '../copy/load-rows.ts'
import { gatheredName, withGathered } from '../gather/gather.ts'
import { asBuffer } from './answer-stream.ts'
import { hold } from './hold.ts'
import { CollectingSink } from './sink.ts'
import { runParts } from './insert.ts'
import { routeWith } from './routing.ts'
import { runLocal, withTransaction } from './run-on.ts'
import type { Scope } from './scope.ts'
import { portableTypes, type Bound } from './statement.ts'

const SAVEPOINT = 'mirabelle_evaluate'
/** Rows that are handled before others get a turn. */
const ROWS_AT_ONCE = 200

export async function insertEvaluated(
  scope: Scope,
  plan: InsertEvaluatedPlan,
  bound: Bound | undefined,
): Promise<void> {
  if (plan.gather.length === 0) {
    const rows = await evaluateAlone(scope, plan, bound)
    return place(scope, plan, rows, undefined)
  }
  // The answer is kept until the transaction has committed: it may run again before that.
  const answer = await withTransaction(scope, async (transaction) => {
    const collected = new CollectingSink(scope.gatherLimitBytes, 'the result of INSERT … RETURNING')
    const rows = await evaluateGathered(scope, transaction, plan, bound)
    await place({ ...scope, transaction, sink: collected }, plan, rows, transaction)
    return collected
  })
  answer.replay(scope.sink)
}

/** No tables are read: one pass through the coordinator's lane. */
async function evaluateAlone(
  scope: Scope,
  plan: InsertEvaluatedPlan,
  bound: Bound | undefined,
): Promise<Row[]> {
  const inside = scope.transaction?.hasBegunOn(-1) === true
  const fresh = plan.manyRows ? [queryMessage(freshFilesSql(plan))] : []
  const item = {
    bytes: Buffer.concat([
      ...(inside ? [queryMessage(`SAVEPOINT ${SAVEPOINT}`)] : []),
      ...fresh,
      evaluation(plan.evaluateSql, bound),
      queryMessage(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`),
      queryMessage(inside ? `RELEASE SAVEPOINT ${SAVEPOINT}` : 'COMMIT'),
    ]),
    syncs: (inside ? 4 : 3) + fresh.length,
    write: true,
    settings: scope.transportSettings,
    ...(inside ? {} : { lead: ['BEGIN READ WRITE', `SAVEPOINT ${SAVEPOINT}`] }),
  }
  return rowsOf(scope, (await runLocal(scope, item)).output)
}

/** The tables are gathered; every content is held from the same moment on, so that the rows go where they were counted. */
async function evaluateGathered(
  scope: Scope,
  transaction: DistributedTransaction,
  plan: InsertEvaluatedPlan,
  bound: Bound | undefined,
): Promise<Row[]> {
  return withGathered(
    scope,
    transaction,
    { steps: plan.gather, bound, apart: false, alsoHold: scope.services.dispatcher.dataContents },
    async (bracket) => {
      await bracket.query(`SAVEPOINT ${SAVEPOINT}`)
      const run = (bytes: Uint8Array) =>
        bracket.run({ bytes, syncs: 1, write: true, settings: scope.transportSettings })
      if (plan.manyRows) await run(queryMessage(freshFilesSql(plan)))
      const result = await run(evaluation(gatheredName(plan.evaluateSql, bracket), bound))
      const rows = await rowsOf(scope, result.output)
      await bracket.control(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`)
      await bracket.keepSequences()
      return rows
    },
  )
}

/** Who may not truncate the table, or cannot because others refer to it, evaluates in its old files. */
function freshFilesSql({ table }: InsertEvaluatedPlan): string {
  const name = `${quoteName(table.schema)}.${quoteName(table.name)}`
  return `DO ${literal(`BEGIN TRUNCATE ONLY ${name}; EXCEPTION WHEN OTHERS THEN NULL; END`)}`
}

function evaluation(sql: string, bound: Bound | undefined): Uint8Array {
  if (bound === undefined) return queryMessage(sql)
  return Buffer.concat([
    encodeParse({ query: sql, parameterTypes: portableTypes(bound.types) }),
    encodeBind({
      parameterFormats: bound.params.map((param) => param.format),
      parameters: bound.params.map((param) => param.value),
    }),
    encodeExecute(),
    SYNC,
  ])
}

type Row = readonly (string | null)[]

async function rowsOf(scope: Scope, output: Uint8Array): Promise<Row[]> {
  const error = firstErrorMessage(output)
  if (error !== undefined) throw SqlError.fromBytes(error)
  const bytes = asBuffer(output)
  const places: (readonly [number, number])[] = []
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type === Backend.dataRow) places.push([start, end])
  })
  const breather = new Breather(scope.services.ports.clock)
  const rows: Row[] = []
  for (const [start, end] of places) {
    rows.push(readDataRow(bytes, start, end))
    if (rows.length % ROWS_AT_ONCE === 0) await breather.due()
  }
  return rows
}

/** Sends evaluated rows to their contents and answers. */
async function place(
  scope: Scope,
  plan: InsertEvaluatedPlan,
  rows: readonly Row[],
  transaction: DistributedTransaction | undefined,
): Promise<void> {
  if (rows.length === 0) return answerNothing(scope, plan)
  const placing: Scope = { ...scope, settings: scope.transportSettings }
  if (plan.load === 'insert' || (rows.length <= 50 && transaction === undefined)) {
    const parts = await routeWith(scope, undefined, (input) => buildInsertParts(plan, rows, input))
    return runParts(placing, parts, undefined)
  }
  const load = async (within: DistributedTransaction): Promise<void> => {
    await hold(scope, within, scope.services.dispatcher.dataContents)
    await loadRows({ ...placing, transaction: within }, within, plan.copyIn, copyText(rows))
  }
  if (transaction === undefined) await withTransaction(placing, load)
  else await load(transaction)
  scope.sink.send(commandComplete(`INSERT 0 ${rows.length}`))
}

function answerNothing(scope: Scope, plan: InsertEvaluatedPlan): Promise<void> | void {
  if (!plan.returnsRows) return scope.sink.send(commandComplete('INSERT 0 0'))
  // A statement that inserts nothing, for the description of its rows.
  const nulls = plan.columns.map(() => 'NULL').join(', ')
  const sql = `${plan.head.replace(/VALUES\s*$/, '')}SELECT ${nulls} WHERE false ${plan.tail}`
  return runParts(scope, [{ content: 0, sql, rows: [] }], undefined)
}

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Rows in PostgreSQL's COPY text format, in portions. */
function* copyText(rows: readonly Row[]): Generator<Uint8Array> {
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
    const lines = rows
      .slice(at, at + ROWS_AT_ONCE)
      .map((row) =>
        row
          .map((value) =>
            value === null ? '\\N' : value.replace(/[\\\n\r\t]/g, (c) => ESCAPES[c] as string),
          )
          .join('\t'),
      )
    yield asBuffer(Buffer.from(`${lines.join('\n')}\n`))
  }
}
