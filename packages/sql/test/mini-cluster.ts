/**
 * A coordinator and some contents as PostgreSQL engines in memory, and an executor of plans without any of the real coordinator's
 * machinery: what the plans say is done literally. Beside it one engine that holds everything, the oracle.
 */
import { PGlite } from '@electric-sql/pglite'
import {
  ALL_CONTENTS,
  ANY_CONTENT,
  buildInsertParts,
  choosePolicy,
  contentOfKey,
  CopyRowSplitter,
  Planner,
  routeDirect,
  routeInsert,
  substituteParams,
  type CatalogView,
  type CopyInPlan,
  type DistributionPolicy,
  type EngineHash,
  type GatherStep,
  type PlannedStatement,
  type Routed,
  type RouteInput,
} from '../src/index.ts'
import { CATALOG_SQL, type FunctionRow, type RelationRow } from './catalog-sql.ts'
import { SnapshotCatalog } from './snapshot-catalog.ts'

export interface Answer {
  readonly rows: unknown[][]
  readonly kind: string
}

export class SqlFailure extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

export class MiniCluster {
  readonly planner: Planner
  readonly coordinator: PGlite
  readonly contents: PGlite[]
  readonly oracle: PGlite
  readonly policies = new Map<string, DistributionPolicy>()
  catalog!: CatalogView
  snapshot!: SnapshotCatalog
  #version = 0
  #next = 0

  constructor(planner: Planner, engines: PGlite[]) {
    this.planner = planner
    this.coordinator = engines[0] as PGlite
    this.oracle = engines[1] as PGlite
    this.contents = engines.slice(2)
  }

  static async start(count: number): Promise<MiniCluster> {
    const engines = Array.from({ length: count + 2 }, () => new PGlite())
    await Promise.all(engines.map((engine) => engine.waitReady))
    const cluster = new MiniCluster(await Planner.create(), engines)
    await cluster.reload()
    return cluster
  }

  async stop(): Promise<void> {
    for (const engine of [this.coordinator, this.oracle, ...this.contents]) await engine.close()
  }

  async reload(): Promise<void> {
    const json = async <T>(sql: string) =>
      (await this.coordinator.query(sql, [], { rowMode: 'array' })).rows.map(
        (row) => JSON.parse(String((row as unknown[])[0])) as T,
      )
    const relations = await json<RelationRow>(CATALOG_SQL.relations)
    const policies = new Map(
      relations.flatMap((row) =>
        this.policies.has(row.name)
          ? [[row.oid, this.policies.get(row.name) as DistributionPolicy] as const]
          : [],
      ),
    )
    const rows = {
      relations,
      systemRelations: await json<string>(CATALOG_SQL.systemRelations),
      functions: await json<FunctionRow>(CATALOG_SQL.functions),
    }
    this.snapshot = new SnapshotCatalog(++this.#version, this.contents.length, rows, policies)
    this.catalog = this.snapshot.withSearchPath(['public'])
  }

  /** Runs it on the oracle too, except for DDL clauses that it does not know: those are given in `plain`. */
  async ddl(sql: string, plain = sql): Promise<void> {
    await this.oracle.exec(plain)
    await this.run(sql)
  }

  async run(sql: string, params: (string | null)[] = []): Promise<Answer> {
    let answer: Answer = { rows: [], kind: 'none' }
    const planned =
      params.length > 0 ? [this.planner.planOne(sql, this.catalog)] : this.planner.plan(sql, this.catalog)
    for (const statement of planned) {
      const current =
        statement.behindChange === true
          ? this.planner.planOne(statement.source ?? '', this.catalog)
          : statement
      answer = await this.#execute(current, params)
    }
    return answer
  }

  async #execute(planned: PlannedStatement, params: (string | null)[]): Promise<Answer> {
    const { plan, sql } = planned
    const on = async (engine: PGlite, text: string) =>
      (await engine.query(text, params, { rowMode: 'array' })).rows as unknown[][]
    const input: RouteInput = {
      segmentCount: this.contents.length,
      params: params.map((value) => ({ value, format: 0 })),
      pickContent: () => this.#next++ % this.contents.length,
    }
    switch (plan.kind) {
      case 'coordinator':
        return { kind: plan.kind, rows: await on(this.coordinator, sql) }
      case 'direct': {
        const content = await this.#routed((more) => routeDirect({ ...planned, plan }, { ...input, ...more }))
        return { kind: plan.kind, rows: await on(this.contents[content] as PGlite, sql) }
      }
      case 'pushdown': {
        const engines = plan.oneContentOnly ? [this.contents[1] as PGlite] : this.contents
        const answers = []
        for (const engine of engines) answers.push(await on(engine, sql))
        return { kind: plan.kind, rows: plan.answerOfOne ? (answers[0] as unknown[][]) : answers.flat() }
      }
      case 'gathered': {
        const rows = await this.#gathering(plan.steps, params, () => on(this.coordinator, plan.sql))
        return { kind: plan.kind, rows }
      }
      case 'insert': {
        const parts = await this.#routed((more) => routeInsert({ ...planned, plan }, { ...input, ...more }))
        const rows: unknown[][] = []
        for (const part of parts) {
          if (part.content === 'all')
            for (const [i, engine] of this.contents.entries())
              rows.push(...(i === 0 ? await on(engine, part.sql) : (await on(engine, part.sql), [])))
          else rows.push(...(await on(this.contents[part.content] as PGlite, part.sql)))
        }
        return { kind: plan.kind, rows }
      }
      case 'insertEvaluated': {
        const evaluated = await this.#gathering(plan.gather, params, async () => {
          const result = await this.coordinator.query(plan.evaluateSql, params, {
            rowMode: 'array',
            parsers: TEXT,
          })
          return result.rows as (string | null)[][]
        })
        const rows: unknown[][] = []
        const parts = await this.#routed((more) => buildInsertParts(plan, evaluated, { ...input, ...more }))
        for (const part of parts) {
          const engines = part.content === 'all' ? this.contents : [this.contents[part.content] as PGlite]
          for (const [i, engine] of engines.entries()) {
            const out = (
              await engine.query(part.sql, /\$\d/.test(plan.tail) ? params : [], { rowMode: 'array' })
            ).rows as unknown[][]
            if (i === 0) rows.push(...out)
          }
        }
        return { kind: plan.kind, rows }
      }
      case 'ddl': {
        await this.coordinator.exec(plan.sql)
        for (const engine of this.contents) await engine.exec(plan.sql)
        await this.reload()
        if (plan.newTable !== undefined) {
          const table = this.catalog.lookup(plan.newTable.schema, plan.newTable.name)
          if (table === undefined) throw new Error(`${plan.newTable.name} was not made`)
          const choice = choosePolicy(plan.newTable.distribution, table)
          if (!choice.ok) throw new SqlFailure(choice.error.code, choice.error.message)
          this.policies.set(table.name, choice.policy)
          await this.reload()
        }
        if (plan.followUp !== undefined) return this.run(plan.followUp)
        return { kind: plan.kind, rows: [] }
      }
      case 'unsupported':
        throw new SqlFailure(plan.code, plan.message)
      default:
        throw new Error(`the mini cluster does not run ${plan.kind}`)
    }
  }

  /** COPY FROM STDIN, in pieces of `piece` bytes. */
  async copyIn(plan: CopyInPlan, data: Uint8Array, piece: number): Promise<number> {
    const outputs = this.contents.map(() => [] as Uint8Array[])
    const add = (content: number, bytes: Uint8Array) => {
      if (content === ANY_CONTENT) outputs[this.#next++ % outputs.length]?.push(bytes.slice())
      else if (content === ALL_CONTENTS) for (const output of outputs) output.push(bytes.slice())
      else outputs[content]?.push(bytes.slice())
    }
    const unplaced: [
      Uint8Array,
      readonly { value: string | Uint8Array | null; format: 0 | 1; type: string }[],
    ][] = []
    const splitter = new CopyRowSplitter(plan, this.contents.length, {
      rows: add,
      unplaced: (bytes, key) => unplaced.push([bytes.slice(), key]),
    })
    for (let at = 0; at < data.length; at += piece) splitter.push(data.subarray(at, at + piece))
    splitter.finish()
    for (const [bytes, key] of unplaced) {
      add(
        await this.#routed((more) => {
          const questions: EngineHash[] = []
          const content = contentOfKey(key, this.contents.length, more?.hashes, questions)
          return content < 0 ? { kind: 'engine', questions } : { kind: 'routed', value: content }
        }),
        bytes,
      )
    }
    for (const [i, output] of outputs.entries()) {
      await this.contents[i]?.query(plan.segmentSql.replace(' FROM STDIN', " FROM '/dev/blob'"), [], {
        blob: new Blob([Buffer.concat(output)]),
      })
    }
    return splitter.rowCount
  }

  async #gathering<T>(
    steps: readonly GatherStep[],
    params: (string | null)[],
    body: () => Promise<T>,
  ): Promise<T> {
    await this.coordinator.exec('BEGIN')
    try {
      for (const step of steps) {
        await this.coordinator.exec(step.createSql)
        for (const engine of step.from === 'all' ? this.contents : this.contents.slice(0, 1)) {
          const { rows } = await engine.query(select(substituteParams(step.copyOutSql, params, [])), [], {
            rowMode: 'array',
            parsers: TEXT,
          })
          for (const row of rows as (string | null)[][]) {
            const target = /^COPY (\S+) /.exec(step.copyInSql)?.[1] ?? ''
            await this.coordinator.query(
              `INSERT INTO ${target} VALUES (${row.map((v) => (v === null ? 'NULL' : `'${v.replaceAll("'", "''")}'`)).join()})`,
            )
          }
        }
      }
      return await body()
    } finally {
      await this.coordinator.exec('ROLLBACK')
    }
  }

  async #routed<T>(call: (more?: { hashes: Map<string, bigint> }) => Routed<T>): Promise<T> {
    const hashes = new Map<string, bigint>()
    for (;;) {
      const result = call({ hashes })
      if (result.kind === 'routed') return result.value
      if (result.kind === 'refused') throw new SqlFailure(result.plan.code, result.plan.message)
      for (const question of result.questions) {
        const { rows } = await this.coordinator.query(`SELECT (${question.sql})::text`, [question.value], {
          rowMode: 'array',
        })
        hashes.set(question.id, BigInt(String((rows[0] as unknown[])[0])))
      }
    }
  }
}

/** The query of COPY (query) TO STDOUT. */
function select(copy: string): string {
  return copy.slice(copy.indexOf('(') + 1, copy.lastIndexOf(') TO STDOUT'))
}

/** Keeps all values as the engine printed them. */
const TEXT = Object.fromEntries(
  [16, 17, 20, 21, 23, 25, 114, 700, 701, 1043, 1082, 1114, 1184, 1700, 2950, 3802].map((oid) => [
    oid,
    (value: string) => value,
  ]),
)
