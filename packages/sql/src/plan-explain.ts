/**
 * EXPLAIN: our plan (where, which kind) above PostgreSQL's own for each part.
 */
import type { Ast } from './ast.ts'
import type { PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import { tokenize } from './lex/tokens.ts'
import { parseStatements, type RawStatement } from './parse.ts'
import type { ExplainPlan, GatherStep, KeyPart, Plan } from './plan.ts'

const EXPLAINED = new Set<Plan['kind']>([
  'direct',
  'pushdown',
  'gathered',
  'insert',
  'insertEvaluated',
  'coordinator',
])

export function planExplain(context: PlanContext, planInner: (statement: RawStatement) => Plan): ExplainPlan {
  const { sql, statement } = context
  const options = new Map(
    ((statement.body.options ?? []) as Ast[]).map((item) => [
      String(item.DefElem.defname),
      item.DefElem.arg as Ast | undefined,
    ]),
  )
  const analyze = options.has('analyze') && isOn(options.get('analyze'))
  const start = queryStart(sql)
  const inner = parseStatements(sql.slice(start))[0]
  if (inner === undefined) throw notSupported('EXPLAIN needs a statement', 'Write one behind EXPLAIN.')
  const plan = planInner(inner)
  if (!EXPLAINED.has(plan.kind))
    throw notSupported(`EXPLAIN of a ${plan.kind} statement is not supported`, 'Explain the query in it.')
  if (
    analyze &&
    plan.kind !== 'direct' &&
    plan.kind !== 'coordinator' &&
    !(plan.kind === 'pushdown' && !plan.write)
  ) {
    throw notSupported(
      `EXPLAIN ANALYZE of a ${plan.kind} plan is not supported`,
      'Use EXPLAIN without ANALYZE.',
    )
  }
  const format = options.get('format')?.String?.sval as string | undefined
  return {
    kind: 'explain',
    plan,
    planned: { sql: inner.sql, plan, literals: [] },
    lines: describePlan(plan),
    analyze,
    prefix: sql.slice(0, start).trimEnd(),
    format: format === undefined || format === 'text' ? 'text' : 'other',
  }
}

function isOn(arg: Ast | undefined): boolean {
  if (arg === undefined) return true
  const text = String(arg.String?.sval ?? arg.Boolean?.boolval ?? arg.Integer?.ival ?? '0')
  return /^(on|true|1)$/i.test(text)
}

/** Behind EXPLAIN, its options in parentheses, or ANALYZE and VERBOSE. */
function queryStart(sql: string): number {
  const tokens = tokenize(sql)
  const text = (index: number) => sql.slice(tokens[index]?.start, tokens[index]?.end).toLowerCase()
  let at = 1
  // EXPLAIN (options) statement; but EXPLAIN (SELECT …) is a statement in parentheses.
  if (text(at) === '(' && !['select', 'values', 'with', 'table', '('].includes(text(at + 1))) {
    while (at < tokens.length && text(at) !== ')') at++
    at++
  } else while (['analyze', 'analyse', 'verbose'].includes(text(at))) at++
  return tokens[at]?.start ?? sql.length
}

/** Lines for people: kind of plan, where it runs, and why. */
export function describePlan(plan: Plan): string[] {
  switch (plan.kind) {
    case 'direct':
      return [`Mirabelle: direct, one segment (key ${plan.key.map(describeKey).join(', ')})`]
    case 'pushdown':
      return [
        plan.oneContentOnly
          ? 'Mirabelle: pushed down, any one segment (replicated tables only)'
          : 'Mirabelle: pushed down, all segments',
      ]
    case 'gathered':
      return ['Mirabelle: gathered, on the coordinator', ...plan.steps.map(describeStep)]
    case 'insert':
      return [`Mirabelle: insert, ${plan.rows.length} row(s) into ${plan.table.name} (${plan.policy.kind})`]
    case 'insertEvaluated':
      return [
        `Mirabelle: insert into ${plan.table.name} (${plan.policy.kind}) of rows evaluated on the coordinator`,
        ...plan.gather.map(describeStep),
      ]
    case 'coordinator':
      return ['Mirabelle: coordinator only']
    case 'copyOut':
    case 'copyIn':
    case 'ddl':
    case 'maintenance':
    case 'session':
    case 'explain':
    case 'empty':
    case 'unsupported':
      return [`Mirabelle: ${plan.kind}`]
  }
}

function describeStep(step: GatherStep): string {
  return `  -> gather ${step.from === 'all' ? 'from all segments' : 'from any one segment'}: ${step.copyOutSql}`
}

function describeKey(part: KeyPart): string {
  switch (part.source) {
    case 'constant':
      return part.text === null ? 'NULL' : `'${part.text}'`
    case 'literal':
      return `literal ${part.index + 1}`
    case 'param':
      return `$${part.number}`
  }
}
