/**
 * Schema changes: run on the coordinator and on every content in one distributed transaction. What a sharded table cannot promise is refused.
 */
import { namesOf, walk, type Ast } from './ast.ts'
import type { PlanContext } from './context.ts'
import { refuseFunction } from './analysis/functions.ts'
import { commandTag, isDdl } from './ddl-tags.ts'
import { enforceNoForeignKeys } from './foreign-keys.ts'
import { notSupported } from './errors.ts'
import { applyEdits } from './lex/edits.ts'
import type { CutText } from './lex/distributed-clause.ts'
import { tokenize } from './lex/tokens.ts'
import type { DdlPlan, Plan } from './plan.ts'
import { settingValue } from './plan-session.ts'

type Clause = CutText['clauses'][number] | undefined

/** The plan of a DDL statement, or undefined when the statement is none. `clause`: its DISTRIBUTED clause, cut out already. */
export function planDdl(context: PlanContext, clause: Clause): Plan | undefined {
  const { kind, body } = context.statement
  // Defaults, checks, views and indexes that call such functions would be evaluated where the rows are not.
  for (const use of context.survey.functions) refuseFunction(use.info, use.name)
  switch (kind) {
    case 'CreateStmt':
      return planCreateTable(context, clause)
    case 'CreateTableAsStmt':
      return planCreateTableAs(context, clause)
    case 'IndexStmt':
      if (body.concurrent === true)
        throw notSupported('CREATE INDEX CONCURRENTLY is not supported', 'Use CREATE INDEX.')
      return {
        ...ddl(context),
        ...(body.unique === true ? { checkUnique: nameOf(body.relation as Ast) } : {}),
      }
    case 'AlterTableStmt':
      return planAlterTable(context)
    case 'DropStmt':
      if (body.concurrent === true)
        throw notSupported('DROP INDEX CONCURRENTLY is not supported', 'Use DROP INDEX.')
      return ddl(context)
    case 'CreateTrigStmt':
      if (targets(context))
        throw notSupported(
          'triggers on distributed tables are not supported',
          'Do the work in the application.',
        )
      return ddl(context)
    case 'RuleStmt':
      if (targets(context))
        throw notSupported('rules on distributed tables are not supported', 'Do the work in the application.')
      return ddl(context)
    case 'CreateSeqStmt':
      refuseTemporary(body.sequence as Ast)
      return ddl(context)
    case 'ViewStmt':
      refuseTemporary(body.view as Ast)
      return ddl(context)
    case 'AlterRoleSetStmt':
    case 'CreateFunctionStmt':
    case 'AlterFunctionStmt':
      return { ...ddl(context), settings: settingsGiven(context) }
    default:
      return isDdl(kind) ? ddl(context) : undefined
  }
}

function ddl(context: PlanContext): DdlPlan {
  const { statement, sql } = context
  return {
    kind: 'ddl',
    command: commandTag(statement.kind, statement.body),
    sql,
    where: 'everywhere',
    notices: [],
  }
}

function settingsGiven({ statement, sql }: PlanContext): [string, string][] {
  const given: [string, string][] = []
  walk(statement.body, (node) => {
    if (node.kind === 'VAR_SET_VALUE')
      given.push([String(node.name).toLowerCase(), settingValue((node.args ?? []) as Ast[], sql)])
    return true
  })
  return given
}

function planCreateTable(context: PlanContext, clause: Clause): DdlPlan {
  const body = context.statement.body
  refuseTemporary(body.relation as Ast)
  if (body.partspec !== undefined || body.partbound !== undefined) {
    throw notSupported(
      'PARTITION BY is not supported',
      'Rows are spread over the segments already; leave the clause out.',
    )
  }
  if (body.inhRelations !== undefined)
    throw notSupported('INHERITS is not supported', 'Use LIKE parent INCLUDING ALL.')
  if (body.ofTypename !== undefined)
    throw notSupported('CREATE TABLE … OF type is not supported', 'List the columns.')
  refuseExclusion(body)
  const keys = enforceNoForeignKeys(context)
  return {
    ...ddl(context),
    sql: applyEdits(context.sql, keys.edits),
    notices: keys.notices,
    newTable: {
      ...nameOf(body.relation as Ast),
      ifNotExists: body.if_not_exists === true,
      distribution: clause?.clause,
    },
  }
}

/** CREATE TABLE … AS: the empty table first (WITH NO DATA), then INSERT … SELECT in the same transaction. */
function planCreateTableAs(context: PlanContext, clause: Clause): DdlPlan {
  const { sql, statement } = context
  const body = statement.body
  const into = body.into as Ast
  if (body.objtype === 'OBJECT_MATVIEW')
    throw notSupported('materialized views are not supported', 'Use CREATE TABLE … AS.')
  refuseTemporary(into.rel as Ast)
  if (body.query?.SelectStmt === undefined)
    throw notSupported('CREATE TABLE … AS EXECUTE is not supported', 'Write the SELECT itself.')
  const { start, end } = queryRange(sql)
  const query = sql.slice(start, end).trim()
  const table = nameOf(into.rel as Ast)
  const written = writtenName(context, into.rel as Ast)
  return {
    ...ddl(context),
    command: 'CREATE TABLE AS',
    sql: `${sql.slice(0, start)} ${query}\nWITH NO DATA`,
    newTable: { ...table, ifNotExists: body.if_not_exists === true, distribution: clause?.clause },
    ...(into.skipData === true ? {} : { followUp: `INSERT INTO ${written} ${query}` }),
  }
}

/** The query of CREATE TABLE … AS: behind the first AS outside parentheses, up to WITH [NO] DATA. */
function queryRange(sql: string): { start: number; end: number } {
  const tokens = tokenize(sql)
  let depth = 0
  const words = tokens.map((token) => {
    const text = sql.slice(token.start, token.end).toLowerCase()
    if (token.kind === 'mark' && text === '(') depth++
    if (token.kind === 'mark' && text === ')') depth--
    return depth === 0 && token.kind === 'word' ? text : ''
  })
  const as = words.indexOf('as')
  const last = words.length
  const noData = words[last - 1] === 'data' && words[last - 2] === 'no' && words[last - 3] === 'with'
  const data = words[last - 1] === 'data' && words[last - 2] === 'with'
  const end = noData ? tokens[last - 3] : data ? tokens[last - 2] : undefined
  return { start: tokens[as]?.end ?? 0, end: end?.start ?? sql.length }
}

function writtenName(context: PlanContext, rangeVar: Ast): string {
  const start = context.at(rangeVar.location as number | undefined)
  const tokens = tokenize(context.sql, start)
  const count = rangeVar.schemaname === undefined ? 1 : 3
  return context.sql.slice(start, tokens[count - 1]?.end)
}

const REFUSED_ALTERS: Record<string, string> = {
  AT_AddInherit: 'INHERIT',
  AT_DropInherit: 'NO INHERIT',
  AT_AttachPartition: 'ATTACH PARTITION',
  AT_DetachPartition: 'DETACH PARTITION',
  AT_EnableTrig: 'ENABLE TRIGGER',
  AT_AddOf: 'OF',
}

function planAlterTable(context: PlanContext): DdlPlan {
  const { statement, catalog } = context
  const body = statement.body
  const name = nameOf(body.relation as Ast)
  const table = catalog.lookup(name.schema, name.name)
  let unique = false
  for (const item of (body.cmds ?? []) as Ast[]) {
    const command = item.AlterTableCmd as Ast
    const subtype = String(command.subtype ?? 'AT_AddColumn')
    const refused = REFUSED_ALTERS[subtype]
    if (refused !== undefined)
      throw notSupported(`ALTER TABLE … ${refused} is not supported`, 'Leave it out.')
    const inKey = table?.policy?.kind === 'hash' && table.policy.columns.includes(String(command.name))
    if (inKey && (subtype === 'AT_DropColumn' || subtype === 'AT_AlterColumnType')) {
      throw notSupported(
        `column ${String(command.name)} is part of the distribution key of ${name.name} and cannot be dropped or change its type`,
        'Create a new table with CREATE TABLE … AS SELECT … DISTRIBUTED BY …, then rename it.',
      )
    }
    if (subtype === 'AT_AddColumn' && table?.policy !== undefined)
      refuseVolatileColumn(
        command.def?.ColumnDef as Ast | undefined,
        context,
        table.policy.kind === 'replicated',
      )
  }
  refuseExclusion(body)
  walk(body, (node, key) => {
    if (key === 'Constraint' && (node.contype === 'CONSTR_PRIMARY' || node.contype === 'CONSTR_UNIQUE'))
      unique = true
    return true
  })
  const keys = enforceNoForeignKeys(context)
  return {
    ...ddl(context),
    sql: applyEdits(context.sql, keys.edits),
    notices: keys.notices,
    ...(unique ? { checkUnique: name } : {}),
  }
}

/** ADD COLUMN with a volatile default would fill existing rows on each segment by itself. */
function refuseVolatileColumn(column: Ast | undefined, context: PlanContext, replicated: boolean): void {
  if (column === undefined) return
  const type = namesOf(column.typeName?.names as Ast[]).at(-1) ?? ''
  const serial = /^(small|big)?serial[248]?$/.test(type)
  const identity = ((column.constraints ?? []) as Ast[]).some(
    (item) => item.Constraint?.contype === 'CONSTR_IDENTITY',
  )
  const volatile = context.survey.functions.some(
    (use) => use.placement === 'coordinator' || use.placement === 'local',
  )
  const differing =
    replicated &&
    (context.survey.stableValues || context.survey.functions.some((use) => use.placement === 'stable'))
  if (serial || identity || volatile || differing) {
    throw notSupported(
      `ADD COLUMN ${String(column.colname)} with a serial, identity, volatile or (replicated table) stable default is not supported`,
      'Add the column without a default, fill it with UPDATE, then ALTER COLUMN … SET DEFAULT.',
    )
  }
}

function refuseExclusion(body: Ast): void {
  walk(body, (node, key) => {
    if (key === 'Constraint' && node.contype === 'CONSTR_EXCLUSION') {
      throw notSupported(
        'exclusion constraints are not supported: they cannot be checked across segments',
        'Use UNIQUE with the distribution key.',
      )
    }
    return true
  })
}

function refuseTemporary(rangeVar: Ast | undefined): void {
  if (rangeVar?.relpersistence !== 't') return
  throw notSupported(
    'temporary tables, views and sequences are not supported',
    'Create an ordinary one and drop it afterwards.',
  )
}

function targets(context: PlanContext): boolean {
  return context.survey.relations.some((use) => use.table?.policy !== undefined)
}

function nameOf(rangeVar: Ast): { schema: string | undefined; name: string } {
  return { schema: rangeVar.schemaname as string | undefined, name: String(rangeVar.relname) }
}
