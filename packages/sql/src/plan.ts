/**
 * The plans: what the coordinator is to do with one statement. Made by `Planner` (planner.ts), carried out by the coordinator.
 *
 * Texts in a plan are PostgreSQL's own SQL; parameters ($n) stay in them, so an extended-protocol statement is forwarded as Parse of
 * the text (with *all* parameter types given explicitly, as the coordinator's own Describe reported them: a split text may use only
 * some of the parameters) and a Bind of all the parameters.
 *
 * What a plan promises: carried out as described it gives the same answer as one PostgreSQL holding all rows would (row order
 * without ORDER BY aside); whatever cannot promise that is `unsupported`.
 */
import type { DistributionPolicy, TableInfo } from './catalog.ts'

/** Everything the coordinator can be asked to do. Switch over `kind`, exhaustively. */
export type Plan =
  | EmptyPlan
  | SessionPlan
  | CoordinatorPlan
  | DirectPlan
  | PushdownPlan
  | GatheredPlan
  | InsertPlan
  | InsertEvaluatedPlan
  | DdlPlan
  | MaintenancePlan
  | CopyInPlan
  | CopyOutPlan
  | ExplainPlan
  | UnsupportedPlan

/** One statement of a query text, planned. */
export interface PlannedStatement {
  /** The exact text of this statement, without the semicolon: what "forward unchanged" means. (But see `rewritten`.) */
  readonly sql: string
  readonly plan: Plan
  /** Literals of this text, in order; KeyParts with `source: 'literal'` point here. Empty when the plan holds constants itself. */
  readonly literals: readonly string[]
  /** What the client wrote, where the text has several statements: what to plan (`planOne`) when the catalog is another one than here. */
  readonly source?: string
  /** A statement before this one in the same text changes the schema or the settings that names depend on: once that has run, plan `source`
   * with the catalog as it is then, and carry out that plan instead. */
  readonly behindChange?: true
  /** The live views of the cluster that it reads, in whatever kind of plan: to be filled anew before it runs. */
  readonly liveViews?: readonly string[]
  /** `sql` is not what the client wrote: it has names of Greenplum's in it as PostgreSQL understands them. */
  readonly rewritten?: boolean
}

/** Where one column of a distribution key comes from. `type` is the type whose hash applies (`format_type` name; for INSERT with the
 * column's modifier, e.g. `numeric(10,2)`, because the stored value is rounded to it). */
export type KeyPart =
  | { readonly source: 'constant'; readonly text: string | null; readonly type: string }
  | { readonly source: 'literal'; readonly index: number; readonly negative: boolean; readonly type: string }
  | { readonly source: 'param'; readonly number: number; readonly type: string; readonly paramType?: string }

/** A NOTICE or WARNING for the client. */
export interface PlanNotice {
  readonly severity: 'NOTICE' | 'WARNING'
  readonly code: string
  readonly message: string
  readonly hint?: string
}

/** Only blanks and comments: answer EmptyQueryResponse. */
export interface EmptyPlan {
  readonly kind: 'empty'
}

/** Changes or reads only the state of the session: the front door does it. */
export interface SessionPlan {
  readonly kind: 'session'
  readonly action: SessionAction
}

/** Modes of BEGIN / SET TRANSACTION / SET SESSION CHARACTERISTICS; undefined = not said. */
export interface TransactionModes {
  readonly isolation?: 'read uncommitted' | 'read committed' | 'repeatable read' | 'serializable'
  readonly readOnly?: boolean
  readonly deferrable?: boolean
}

export type SessionAction =
  | { readonly type: 'begin'; readonly modes: TransactionModes }
  | { readonly type: 'commit'; readonly chain: boolean }
  | { readonly type: 'rollback'; readonly chain: boolean }
  | { readonly type: 'savepoint'; readonly name: string }
  | { readonly type: 'rollbackTo'; readonly name: string }
  | { readonly type: 'release'; readonly name: string }
  | { readonly type: 'setTransaction'; readonly modes: TransactionModes; readonly session: boolean }
  /** SET [LOCAL] name = value. Names are lower case as PostgreSQL stores them; `role` and `session_authorization` come here too. `value`
   * undefined = TO DEFAULT (reset; local if `local`). `sql` is the text to validate on the coordinator's engine: pass it on as it is. */
  | {
      readonly type: 'set'
      readonly name: string
      readonly value: string | undefined
      readonly local: boolean
    }
  /** SELECT set_config(name, value, local) and nothing else: a SET that answers one row, column `set_config`, with the value. */
  | { readonly type: 'setConfig'; readonly name: string; readonly value: string; readonly local: boolean }
  /** SELECT pg_reload_conf() and nothing else: one row, true. `column` is its name, here and below. */
  | { readonly type: 'reloadConf'; readonly column: string }
  /** SELECT pg_backend_pid(): one row, the number of the session. */
  | { readonly type: 'backendPid'; readonly column: string }
  /** SELECT pg_cancel_backend(pid) or pg_terminate_backend(pid): one row, whether there is such a session. */
  | {
      readonly type: 'signal'
      readonly how: 'cancel' | 'terminate'
      readonly pid: number
      readonly column: string
    }
  /** The same with the numbers that `sql` gives, one a row. */
  | {
      readonly type: 'signalEach'
      readonly how: 'cancel' | 'terminate'
      readonly sql: string
      readonly column: string
    }
  /** SELECT current_setting(name) of a setting that an engine does not know: one row, its value. */
  | { readonly type: 'currentSetting'; readonly name: string; readonly column: string }
  /** RESET name; undefined = RESET ALL. */
  | { readonly type: 'reset'; readonly name: string | undefined }
  /** ALTER SYSTEM; name undefined = RESET ALL, value undefined = RESET or TO DEFAULT. */
  | { readonly type: 'alterSystem'; readonly name: string | undefined; readonly value: string | undefined }
  /** SHOW name; undefined = SHOW ALL. Settings of ours are answered by the coordinator, others by its engine. */
  | { readonly type: 'show'; readonly name: string | undefined }
  | { readonly type: 'discard'; readonly target: 'all' | 'plans' | 'sequences' | 'temp' }
  | {
      readonly type: 'prepare'
      readonly name: string
      readonly argTypes: readonly string[]
      readonly sql: string
    }
  /** EXECUTE name (args): `args` are the texts of the argument expressions; almost always constants. `constants` holds the values when all
   * of them are plain constants (null = NULL), else undefined: evaluate `SELECT args` on the coordinator. */
  | {
      readonly type: 'execute'
      readonly name: string
      readonly args: readonly string[]
      readonly constants: readonly (string | null)[] | undefined
    }
  /** DEALLOCATE name; undefined = ALL. */
  | { readonly type: 'deallocate'; readonly name: string | undefined }
  | {
      readonly type: 'declareCursor'
      readonly name: string
      readonly sql: string
      readonly binary: boolean
      readonly scroll: boolean
      readonly hold: boolean
    }
  /** FETCH/MOVE; `count` may be negative for absolute/relative; 'all' = all that is left. */
  | {
      readonly type: 'fetch'
      readonly name: string
      readonly move: boolean
      readonly direction: 'forward' | 'backward' | 'absolute' | 'relative'
      readonly count: number | 'all'
    }
  /** CLOSE name; undefined = ALL. */
  | { readonly type: 'closeCursor'; readonly name: string | undefined }
  /** UNLISTEN: nothing was listened to; answer the tag. */
  | { readonly type: 'unlisten' }

/** Touches no distributed table: run `PlannedStatement.sql` on the coordinator's own PostgreSQL, unchanged. */
export interface CoordinatorPlan {
  readonly kind: 'coordinator'
  /** It may write (WAL): a DML on a coordinator table, or a volatile function such as nextval. */
  readonly write: boolean
  readonly returnsRows: boolean
  /** Names (without schema) of the relations it reads, so that live views can be refreshed first. */
  readonly relations: readonly string[]
  /** Names (without schema) of the functions it calls, so that functions of ours can be answered. */
  readonly functions: readonly string[]
}

/** All rows it needs are on one content: forward `sql` there. `routeDirect` gives the content. */
export interface DirectPlan {
  readonly kind: 'direct'
  readonly write: boolean
  readonly returnsRows: boolean
  /** In the order of the policy's columns. */
  readonly key: readonly KeyPart[]
}

/** Forward `sql` to every content (or to any one, see `oneContentOnly`); concatenate rows, add up the numbers in command tags. */
export interface PushdownPlan {
  readonly kind: 'pushdown'
  readonly write: boolean
  readonly returnsRows: boolean
  /** Reads: all tables are replicated, any one content answers. */
  readonly oneContentOnly: boolean
  /** Writes to a replicated table: run on every content, but the answer (tag, RETURNING) of one content is the answer. */
  readonly answerOfOne: boolean
}

/** One table (or the part of it that is needed) to be copied into a temporary table of the coordinator before the statement runs. */
export interface GatherStep {
  readonly table: TableInfo
  /** 'all': from every content; 'any': from any one (replicated). */
  readonly from: 'all' | 'any'
  /** Run on the coordinator first: creates the empty temporary table (ON COMMIT DROP; may hold two statements). */
  readonly createSql: string
  /** Run on the contents: `COPY (SELECT … ) TO STDOUT`, text format. May hold $n: COPY takes no parameters, so put them in with
   * `substituteParams`. */
  readonly copyOutSql: string
  /** Run on the coordinator with the CopyData of all contents. */
  readonly copyInSql: string
}

/** Copy the tables into the coordinator (`steps`), then run `sql` there. All in one coordinator transaction. */
export interface GatheredPlan {
  readonly kind: 'gathered'
  readonly steps: readonly GatherStep[]
  /** The statement, reading from the temporary tables. Parameters as in the original. */
  readonly sql: string
}

/** INSERT … VALUES whose rows can be placed from the text alone. `routeInsert` gives the parts to send. */
export interface InsertPlan {
  readonly kind: 'insert'
  readonly table: TableInfo
  readonly policy: DistributionPolicy
  /** One entry a row, in order; empty key for random and replicated tables. */
  readonly rows: readonly (readonly KeyPart[])[]
  /** Text before the first row, each row with its parentheses, text after the last: [start, end) in UTF-16 units of `sql`.
   * Undefined for a plan of one row, which is never split. */
  readonly rowRanges: readonly (readonly [number, number])[] | undefined
  readonly returnsRows: boolean
}

/**
 * INSERT whose rows must first be evaluated once, on the coordinator (volatile expressions or defaults, INSERT … SELECT, expressions in
 * key columns). The coordinator
 *  1. runs the `gather` steps;
 *  2. inside a savepoint runs `evaluateSql` (INSERT … RETURNING the columns in `columns`) on its own PostgreSQL, takes the rows and rolls
 *     back to the savepoint (sequence draws stay, as they should). Without parameters `COPY (evaluateSql) TO STDOUT` gives them as
 *     COPY text, fit for `load: 'copy'`;
 *  3. places the rows: `load: 'copy'`: as COPY text through `CopyRowSplitter` and `copyIn` into every content's COPY FROM STDIN;
 *     `load: 'insert'`: `buildInsertParts(plan, rows, …)` gives the statements to send.
 * The command tag is `INSERT 0 n` of what the contents say.
 */
export interface InsertEvaluatedPlan {
  readonly kind: 'insertEvaluated'
  readonly table: TableInfo
  readonly policy: DistributionPolicy
  readonly gather: readonly GatherStep[]
  readonly evaluateSql: string
  /** All columns but generated ones, in the order of the evaluated rows. */
  readonly columns: readonly string[]
  /** 'insert' when there is RETURNING or ON CONFLICT (COPY knows neither); 'copy' is possible otherwise. */
  readonly load: 'copy' | 'insert'
  /** How to load with COPY (also right for `load: 'insert'` without its tail). */
  readonly copyIn: CopyInPlan
  /** Text put before VALUES and after it (ON CONFLICT …, RETURNING …) by `buildInsertParts`. */
  readonly head: string
  readonly tail: string
  readonly returnsRows: boolean
  /** More than a few rows may come out (INSERT … SELECT). */
  readonly manyRows: boolean
}

/** DISTRIBUTED … as written. */
export type DistributionClause =
  | { readonly kind: 'by'; readonly columns: readonly string[] }
  | { readonly kind: 'randomly' }
  | { readonly kind: 'replicated' }

/** A schema change: one distributed transaction over the coordinator and all contents. The catalog version grows. */
export interface DdlPlan {
  readonly kind: 'ddl'
  /** Command tag as PostgreSQL says it (`CREATE TABLE`); the engine's own answer is authoritative. */
  readonly command: string
  /** Text to run, the DISTRIBUTED clause cut out, foreign keys NOT ENFORCED. */
  readonly sql: string
  /** 'everywhere': coordinator first, then all contents. 'coordinator': only there (views over catalogs and the like). */
  readonly where: 'everywhere' | 'coordinator'
  /** A table is made: after `sql` ran on the coordinator, load its TableInfo and call `choosePolicy(distribution, table)`: it gives the
   * policy to store and the notices, or an error that ends the transaction. Skip when IF NOT EXISTS found one. */
  readonly newTable?: {
    readonly schema: string | undefined
    readonly name: string
    readonly ifNotExists: boolean
    readonly distribution: DistributionClause | undefined
  }
  /** A unique index or constraint is added to this table: after it ran on the coordinator, load the TableInfo and call
   * `checkUniqueIndexes(table)`. */
  readonly checkUnique?: { readonly schema: string | undefined; readonly name: string }
  /** To be planned and run in the same transaction after the DDL (CREATE TABLE AS); the tag is then `SELECT n`. */
  readonly followUp?: string
  /** What a role or a function is given (ALTER ROLE … SET, CREATE FUNCTION … SET), name in lower case. */
  readonly settings?: readonly (readonly [name: string, value: string])[]
  readonly notices: readonly PlanNotice[]
}

/** VACUUM, ANALYZE, CHECKPOINT, REINDEX …: run `sql` on the coordinator and on all contents, each on its own, outside a transaction
 * block where `forbiddenInTransaction` (25001 otherwise). Names of tables are those of the text. */
export interface MaintenancePlan {
  readonly kind: 'maintenance'
  readonly command: 'VACUUM' | 'ANALYZE' | 'CHECKPOINT' | 'REINDEX' | 'CLUSTER'
  readonly forbiddenInTransaction: boolean
}

/** Options of COPY as PostgreSQL will use them, defaults filled in. */
export interface CopyOptions {
  readonly format: 'text' | 'csv'
  readonly delimiter: string
  readonly null: string
  /** The first line is a header (COPY FROM skips it; `match` checks it). */
  readonly header: boolean | 'match'
  readonly quote: string
  readonly escape: string
  /** FORCE_NULL / FORCE_NOT_NULL columns; '*' = all. */
  readonly forceNull: readonly string[]
  readonly forceNotNull: readonly string[]
}

/**
 * COPY table FROM STDIN. Rows are split by `CopyRowSplitter` and go as bytes, the header left out, to `segmentSql` on the contents; random
 * tables: in turn, in blocks; replicated: to all.
 */
export interface CopyInPlan {
  readonly kind: 'copyIn'
  readonly table: TableInfo
  readonly policy: DistributionPolicy
  /** Columns in the order of the fields of a row. */
  readonly columns: readonly string[]
  readonly options: CopyOptions
  /** Field number (from 0) of each key column; undefined when the key is not among the columns (then the key is `missingKey`). */
  readonly keyFields: readonly number[]
  /** Types of the key columns with modifier. */
  readonly keyTypes: readonly string[]
  /** The COPY for the contents: the same options, no header. */
  readonly segmentSql: string
  /** Columns left out need values from the coordinator (serial, volatile default, a key column with a default): COPY into a temporary
   * table does not do; load this way instead: the rows go into `evaluate.copySql` on the coordinator inside a savepoint, then
   * `evaluate.readSql` (COPY … TO STDOUT) gives complete rows for `evaluate.then`, then roll back to the savepoint. */
  readonly evaluate?: { readonly copySql: string; readonly readSql: string; readonly then: CopyInPlan }
}

/** COPY … TO STDOUT: run `segmentSql` on every content (any one if replicated) and concatenate the CopyData; the header, if any, comes
 * from the first content only (`headerlessSql` for the others). Binary is refused. */
export interface CopyOutPlan {
  readonly kind: 'copyOut'
  readonly from: 'all' | 'any' | 'coordinator'
  readonly segmentSql: string
  readonly headerlessSql: string
  /** COPY (query) that has to be gathered first: run these steps, then `segmentSql` on the coordinator (`from: 'coordinator'`). */
  readonly gather: readonly GatherStep[]
}

/** EXPLAIN: print `lines`, then the engine's own EXPLAIN of the parts. */
export interface ExplainPlan {
  readonly kind: 'explain'
  /** The plan that is explained. */
  readonly plan: Plan
  readonly planned: PlannedStatement
  /** Our lines, one a row of QUERY PLAN. */
  readonly lines: readonly string[]
  readonly analyze: boolean
  /** `EXPLAIN (options)`: put it before the text of a part. */
  readonly prefix: string
  readonly format: 'text' | 'other'
}

/** Refused (0A000 and a hint), or wrong in itself (other SQLSTATEs). Nothing is run. */
export interface UnsupportedPlan {
  readonly kind: 'unsupported'
  readonly code: string
  readonly message: string
  readonly hint?: string
  readonly detail?: string
  /** Position in characters from 1, for syntax errors. */
  readonly position?: number
}
