/**
 * The front of the package: from a query text to plans. The coordinator makes one `Planner` when it starts (`await Planner.create()` loads
 * PostgreSQL's parser); it holds nothing but the shape cache and needs no end.
 *
 * Promises: never throws on a user's SQL (refusals and syntax errors are plans of kind `unsupported`); the same plan with and without the
 * cache.
 */
import type { CatalogView } from './catalog.ts'
import { classify } from './classify.ts'
import { makeContext, type PlanContext } from './context.ts'
import { notSupported, Refusal } from './errors.ts'
import { cutDistributedClauses, mayBeDistributed, type CutText } from './lex/distributed-clause.ts'
import { skipBlank } from './lex/tokens.ts'
import { loadParser, parseStatements, type RawStatement } from './parse.ts'
import type { Plan, PlannedStatement } from './plan.ts'
import { withSegmentNames } from './segment-names.ts'
import { shapeOf, type ShapedStatement } from './shape/lexer.ts'
import { leavesShape, shapePlanOf } from './shape/literal-plan.ts'
import { ShapeCache } from './shape/shape-cache.ts'

export interface PlannerOptions {
  /** Shapes kept; 0 turns the cache off. */
  readonly shapes?: number
}

type Clause = CutText['clauses'][number]

export class Planner {
  readonly #cache: ShapeCache | undefined

  private constructor(options: PlannerOptions) {
    this.#cache = options.shapes === 0 ? undefined : new ShapeCache(options.shapes)
  }

  static async create(options: PlannerOptions = {}): Promise<Planner> {
    await loadParser()
    return new Planner(options)
  }

  /** Hits and misses of the shape cache since the start. */
  get cacheCounts(): { readonly hits: number; readonly misses: number } {
    return { hits: this.#cache?.hits ?? 0, misses: this.#cache?.misses ?? 0 }
  }

  /** The statements of a simple Query, in order; `[{ plan: empty }]` when there are none. A syntax error anywhere refuses all of it. */
  plan(text: string, catalog: CatalogView): PlannedStatement[] {
    return this.#plan(text, catalog, [])
  }

  /** The one statement of a Parse message. `paramTypes`: type names of $1, $2, … as the coordinator's Describe reports them. */
  planOne(
    text: string,
    catalog: CatalogView,
    paramTypes: readonly (string | undefined)[] = [],
  ): PlannedStatement {
    const planned = this.#plan(text, catalog, paramTypes)
    const [first, second] = planned
    if (first !== undefined && second === undefined) return first
    const error = new Refusal('42601', 'cannot insert multiple commands into a prepared statement')
    return { sql: text, plan: error.plan, literals: [] }
  }

  #plan(text: string, catalog: CatalogView, paramTypes: readonly (string | undefined)[]): PlannedStatement[] {
    const sql = startsPlainly(text) ? text : text.slice(skipBlank(text, 0))
    const shaped = this.#cache === undefined ? undefined : shapeOf(sql)
    if (shaped === undefined) return this.#planText(sql, catalog, paramTypes, undefined, '')
    const key =
      paramTypes.length === 0
        ? `${catalog.pathKey}\u0004${shaped.shape}`
        : `${catalog.pathKey}\u0004${paramTypes.join()}\u0004${shaped.shape}`
    const known = this.#cache?.get(key, catalog)
    if (known !== undefined && (known.timeLiterals.length === 0 || !leavesShape(known, shaped.literals))) {
      const own = shaped.end === sql.length ? sql : sql.slice(0, shaped.end)
      return [{ sql: own, plan: known.plan, literals: shaped.literals }]
    }
    return this.#planText(sql, catalog, paramTypes, shaped, key)
  }

  #planText(
    sql: string,
    catalog: CatalogView,
    paramTypes: readonly (string | undefined)[],
    shaped: ShapedStatement | undefined,
    key: string,
  ): PlannedStatement[] {
    try {
      const cut = mayBeDistributed(sql) ? cutDistributedClauses(sql) : { sql, clauses: [] }
      if (cut.clauses.some((clause) => clause.inAlter)) {
        throw notSupported(
          'ALTER TABLE … SET DISTRIBUTED is not supported',
          'Create a new table with CREATE TABLE … AS SELECT … DISTRIBUTED …, then rename it.',
        )
      }
      const statements = parseStatements(cut.sql)
      if (statements.length === 0) return [{ sql: '', plan: { kind: 'empty' }, literals: [] }]
      let changed = false
      return statements.map((statement, i) => {
        const end = statements[i + 1]?.start ?? sql.length
        const clause = cut.clauses.find(
          (candidate) => candidate.start >= statement.start && candidate.start < end,
        )
        const { plan, context, rewritten } = planStatement(statement, catalog, paramTypes, clause)
        const live = new Set(context?.survey.relations.flatMap((use) => use.table?.live ?? []))
        if (
          shaped !== undefined &&
          context !== undefined &&
          statements.length === 1 &&
          clause === undefined &&
          !rewritten &&
          live.size === 0
        ) {
          const shape = shapePlanOf(plan, context, shaped)
          if (shape !== undefined) this.#cache?.set(key, shape, catalog)
        }
        const planned: PlannedStatement = {
          sql: context?.sql ?? statement.sql,
          plan,
          literals: [],
          ...(rewritten ? { rewritten } : {}),
          ...(live.size === 0 ? {} : { liveViews: [...live] }),
          ...(statements.length === 1 ? {} : { source: sql.slice(statement.start, end) }),
          ...(changed ? { behindChange: true } : {}),
        }
        changed ||= changesNames(plan)
        return planned
      })
    } catch (error) {
      return [{ sql, plan: refusalOf(error).plan, literals: [] }]
    }
  }
}

/** A statement that is too deep for what looks at its tree is refused as PostgreSQL does; anything else is a mistake of ours. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof RangeError && /call stack/.test(error.message))
    return new Refusal('54001', 'stack depth limit exceeded', 'The statement is nested too deeply.')
  throw error
}

/** Whether statements behind this one may mean other relations than before. */
function changesNames(plan: Plan): boolean {
  if (plan.kind === 'session')
    return ['set', 'setConfig', 'reset', 'discard', 'execute'].includes(plan.action.type)
  return plan.kind === 'ddl' || (plan.kind === 'coordinator' && plan.write)
}

/** Plans one parsed statement; refusals become plans, without a context: they are not cached. */
function planStatement(
  statement: RawStatement,
  catalog: CatalogView,
  paramTypes: readonly (string | undefined)[],
  clause: Clause | undefined,
): { plan: Plan; context: PlanContext | undefined; rewritten: boolean } {
  try {
    const names = withSegmentNames(statement, catalog)
    const context =
      names === undefined
        ? makeContext(statement, catalog, paramTypes)
        : makeContext(names.statement, names.catalog, paramTypes, { everywhere: names.everywhere })
    return { plan: classify(context, clause), context, rewritten: names !== undefined }
  } catch (error) {
    return { plan: refusalOf(error).plan, context: undefined, rewritten: false }
  }
}

function startsPlainly(text: string): boolean {
  const c = text.charCodeAt(0)
  return (c >= 65 && c <= 90) || (c >= 97 && c <= 122)
}
