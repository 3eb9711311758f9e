/** A catalog for the tests, with the functions of a real PostgreSQL left out but for those that the tests name. */
import type { CatalogView, ColumnInfo, DistributionPolicy, FunctionInfo, TableInfo } from '../src/index.ts'

let oid = 20000

export function table(
  name: string,
  policy: DistributionPolicy | undefined,
  columns: string,
  more: Partial<TableInfo> = {},
): TableInfo {
  const list = columns.split(',').map((text): ColumnInfo => {
    const [column, type, fill] = text.trim().split(':') as [string, string, ColumnInfo['fill'] | undefined]
    return {
      name: column,
      type: type.replaceAll('_', ' ').replaceAll(';', ','),
      ...(fill === undefined ? {} : { fill }),
    }
  })
  return {
    oid: oid++,
    schema: 'public',
    name,
    kind: 'table',
    columns: list,
    uniqueIndexes: [],
    ...(policy === undefined ? {} : { policy }),
    ...more,
  }
}

export const by = (...columns: string[]): DistributionPolicy => ({
  kind: 'hash',
  columns,
  types: columns.map(() => 'integer'),
})

const tables: TableInfo[] = [
  table('t', by('k'), 'k:integer, v:text, n:numeric, at:timestamp_with_time_zone:stable', {
    uniqueIndexes: [{ name: 't_pkey', primary: true, columns: ['k'] }],
  }),
  table('u', by('k'), 'k:bigint, w:text'),
  table('two', by('a', 'b'), 'a:integer, b:text, c:integer'),
  table('names', by('name'), 'name:character_varying(10), x:integer'),
  table('days', by('d'), 'd:date, x:integer'),
  table('money', by('amount'), 'amount:numeric(10;2), x:integer'),
  table('serials', by('id'), 'id:integer:volatile, v:text'),
  table('ident', by('id'), 'id:bigint:identity, v:text'),
  table('rnd', { kind: 'random' }, 'a:integer, b:text'),
  table('rep', { kind: 'replicated' }, 'id:integer, label:text, at:timestamp_with_time_zone:stable'),
  table('rep2', { kind: 'replicated' }, 'id:integer, label:text'),
  table('gen', by('k'), 'k:integer, twice:integer:generated'),
  table('Odd Name', by('K y'), 'K y:integer, v:text'),
  table('tv', undefined, 'k:integer, v:text', {
    kind: 'view',
    viewTouchesDistributed: true,
    viewDefinition: ' SELECT t.k,\n    t.v\n   FROM t\n  WHERE (t.k > 10);',
  }),
  table('pg_class', undefined, 'oid:oid, relname:name', { schema: 'pg_catalog' }),
  table('gp_segment_configuration', undefined, 'dbid:smallint, content:smallint', { schema: 'pg_catalog' }),
  table('far', by('k'), 'k:integer, v:text', { schema: 'other' }),
]

const f = (
  name: string,
  volatility: FunctionInfo['volatility'],
  more: Partial<FunctionInfo> = {},
): FunctionInfo => ({ name, volatility, aggregate: false, userDefined: false, ...more })

const functions = [
  ...['count', 'sum', 'max', 'min', 'avg', 'string_agg', 'row_number', 'rank'].map((name) =>
    f(name, 'immutable', { aggregate: true }),
  ),
  ...['lower', 'upper', 'abs', 'length', 'generate_series', 'coalesce', 'substring', 'repeat', 'md5'].map(
    (name) => f(name, 'immutable'),
  ),
  ...['now', 'version', 'current_setting', 'to_char', 'pg_table_is_visible', 'txid_current'].map((name) =>
    f(name, 'stable'),
  ),
  ...[
    'random',
    'currval',
    'pg_terminate_backend',
    'nextval',
    'setval',
    'set_config',
    'pg_sleep',
    'pg_advisory_lock',
    'pg_notify',
    'gen_random_uuid',
    'clock_timestamp',
    'gp_request_fts_probe_scan',
  ].map((name) => f(name, 'volatile')),
  f('pure', 'immutable', { userDefined: true }),
  f('reads', 'stable', { userDefined: true }),
  f('harmless', 'volatile', { userDefined: true, touchesDistributed: false }),
]

export const catalog: CatalogView = {
  version: 1,
  pathKey: 'public',
  segmentCount: 4,
  lookup: (schema, name) =>
    tables.find(
      (candidate) =>
        candidate.name === name &&
        (schema === undefined ? candidate.schema !== 'other' : candidate.schema === schema),
    ),
  lookupFunction: (_schema, name) => functions.find((candidate) => candidate.name === name),
}
