/** A small catalog for the planner: a table of each kind of distribution. */
import type { CatalogView, DistributionPolicy, FunctionInfo, TableInfo } from '@mirabelle/sql'

function table(
  oid: number,
  name: string,
  policy: DistributionPolicy | undefined,
  columns: readonly string[],
): TableInfo {
  return {
    oid,
    schema: policy === undefined ? 'pg_catalog' : 'public',
    name,
    kind: 'table',
    columns: columns.map((column) => {
      const [columnName = '', type = ''] = column.split(':')
      return { name: columnName, type }
    }),
    uniqueIndexes: [],
    ...(policy === undefined ? {} : { policy }),
  }
}

const TABLES: readonly TableInfo[] = [
  table(20_001, 't', { kind: 'hash', columns: ['k'], types: ['integer'] }, ['k:integer', 'v:text']),
  table(20_002, 'u', { kind: 'hash', columns: ['a', 'b'], types: ['bigint', 'text'] }, [
    'a:bigint',
    'b:text',
    'c:integer',
  ]),
  table(20_003, 'rnd', { kind: 'random' }, ['a:integer', 'b:text']),
  table(20_004, 'rep', { kind: 'replicated' }, ['id:integer', 'label:text']),
  table(20_005, 'pg_class', undefined, ['oid:oid', 'relname:name']),
]
const FUNCTIONS: readonly FunctionInfo[] = [
  { name: 'count', volatility: 'immutable', aggregate: true, userDefined: false },
  { name: 'lower', volatility: 'immutable', aggregate: false, userDefined: false },
  { name: 'random', volatility: 'volatile', aggregate: false, userDefined: false },
]

export const sqlCatalog: CatalogView = {
  version: 1,
  pathKey: 'public',
  segmentCount: 4,
  lookup: (schema, name) =>
    TABLES.find((one) => one.name === name && (schema === undefined || schema === one.schema)),
  lookupFunction: (_schema, name) => FUNCTIONS.find((one) => one.name === name),
}
