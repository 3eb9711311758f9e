/**
 * The distribution policy of a new table, and whether its unique indexes fit (sql.md §4). Called with the table as the coordinator's
 * PostgreSQL made it, so that LIKE, domains and serial columns need no second parser.
 */
import type { DistributionPolicy, TableInfo, UniqueIndexInfo } from './catalog.ts'
import { Refusal } from './errors.ts'
import { hashTypeOf } from './hash/hash-type.ts'
import type { DistributionClause, PlanNotice, UnsupportedPlan } from './plan.ts'

/** A policy with what to tell the client, or why not: then the transaction must be rolled back. */
export type PolicyChoice =
  | { readonly ok: true; readonly policy: DistributionPolicy; readonly notices: readonly PlanNotice[] }
  | { readonly ok: false; readonly error: UnsupportedPlan }

const HINT =
  "The 'DISTRIBUTED BY' clause determines the distribution of data. Make sure column(s) chosen are the optimal data distribution key to minimize skew."

export function choosePolicy(clause: DistributionClause | undefined, table: TableInfo): PolicyChoice {
  try {
    const choice =
      clause === undefined ? defaultPolicy(table) : { policy: writtenPolicy(clause, table), notices: [] }
    requireUniqueIndexesFit(table, choice.policy)
    return { ok: true, ...choice }
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.plan }
    throw error
  }
}

/** Undefined when every unique index of the table contains its distribution key, else the error. */
export function checkUniqueIndexes(table: TableInfo): UnsupportedPlan | undefined {
  try {
    if (table.policy !== undefined) requireUniqueIndexesFit(table, table.policy)
    return undefined
  } catch (error) {
    if (error instanceof Refusal) return error.plan
    throw error
  }
}

function writtenPolicy(clause: DistributionClause, table: TableInfo): DistributionPolicy {
  if (clause.kind === 'randomly') return { kind: 'random' }
  if (clause.kind === 'replicated') return { kind: 'replicated' }
  const repeated = clause.columns.find((name, i) => clause.columns.indexOf(name) !== i)
  if (repeated !== undefined)
    throw new Refusal('42701', `duplicate column "${repeated}" in DISTRIBUTED BY clause`)
  for (const name of clause.columns) {
    const column = table.columns.find((candidate) => candidate.name === name)
    if (column === undefined)
      throw new Refusal('42703', `column "${name}" named in DISTRIBUTED BY clause does not exist`)
    if (column.fill === 'generated')
      throw new Refusal('42P16', `cannot use generated column "${name}" in DISTRIBUTED BY clause`)
    if (hashTypeOf(column.type) === undefined) {
      throw new Refusal(
        '42704',
        `data type ${column.type} of column "${name}" cannot be hashed for a distribution key`,
        'Choose another column, or DISTRIBUTED RANDOMLY.',
      )
    }
  }
  return hashPolicy(table, clause.columns)
}

function defaultPolicy(table: TableInfo): { policy: DistributionPolicy; notices: PlanNotice[] } {
  const primary = table.uniqueIndexes.find((index) => index.primary) ?? table.uniqueIndexes[0]
  if (primary !== undefined) {
    // Several unique indexes: only what all of them share can be the key.
    const shared = primary.columns.filter((name) =>
      table.uniqueIndexes.every((index) => index.columns.includes(name)),
    )
    const usable = shared.filter((name) => isHashable(table, name))
    if (usable.length > 0) return { policy: hashPolicy(table, usable), notices: [] }
    const words = table.uniqueIndexes.map((index) => `(${index.columns.join(', ')})`).join(' and ')
    throw new Refusal(
      '42P16',
      `the unique constraints ${words} of table "${table.name}" share no column that could be its distribution key`,
      'Use DISTRIBUTED REPLICATED, or leave out a constraint.',
    )
  }
  const first = table.columns.find((column) => isHashable(table, column.name))
  if (first === undefined) {
    const message = `Table doesn't have 'DISTRIBUTED BY' clause, and no column type is suitable for a distribution key. Creating a randomly distributed table.`
    return {
      policy: { kind: 'random' },
      notices: [{ severity: 'NOTICE', code: '00000', message, hint: HINT }],
    }
  }
  const message = `Table doesn't have 'DISTRIBUTED BY' clause -- Using column named '${first.name}' as the Mirabelle data distribution key for this table.`
  return {
    policy: hashPolicy(table, [first.name]),
    notices: [{ severity: 'NOTICE', code: '00000', message, hint: HINT }],
  }
}

function hashPolicy(table: TableInfo, columns: readonly string[]): DistributionPolicy {
  const types = columns.map(
    (name) => hashTypeOf(table.columns.find((column) => column.name === name)?.type ?? '')?.base ?? '',
  )
  return { kind: 'hash', columns: [...columns], types }
}

function isHashable(table: TableInfo, name: string): boolean {
  const column = table.columns.find((candidate) => candidate.name === name)
  return column !== undefined && column.fill !== 'generated' && hashTypeOf(column.type) !== undefined
}

function requireUniqueIndexesFit(table: TableInfo, policy: DistributionPolicy): void {
  if (policy.kind === 'replicated') return
  for (const index of table.uniqueIndexes) {
    const word = index.primary ? 'PRIMARY KEY' : 'UNIQUE'
    if (policy.kind === 'random')
      throw new Refusal(
        '42P16',
        `${word} and DISTRIBUTED RANDOMLY are incompatible`,
        'Name a distribution key that the constraint contains.',
      )
    const missing = missingColumn(index, policy.columns)
    if (missing !== undefined) {
      throw new Refusal(
        '42P16',
        `${word} definition must contain all columns in the table's distribution key`,
        `Add column "${missing}" to the constraint, or choose the distribution key among its columns.`,
        { detail: `Distribution key column "${missing}" is not included in the constraint.` },
      )
    }
  }
}

function missingColumn(index: UniqueIndexInfo, key: readonly string[]): string | undefined {
  return key.find((name) => !index.columns.includes(name))
}
