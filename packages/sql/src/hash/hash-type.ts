/**
 * Which types can be a distribution key, and which of them share one hash: values of the types of one family that compare equal hash
 * equal, so that `int4 = int8` may join in place.
 */

/** How a value is hashed. `engine`: by the coordinator's PostgreSQL. */
export type HashFamily =
  'int' | 'text' | 'bpchar' | 'bool' | 'uuid' | 'date' | 'timestamp' | 'timestamptz' | 'engine'

export interface HashType {
  readonly family: HashFamily
  /** Types of the same group join in place; for `engine` it is the name of the hash function. */
  readonly group: string
  /** Type name without modifier. */
  readonly base: string
  /** The number(s) in parentheses, `10,2`; undefined without. */
  readonly modifier: string | undefined
  /** The PostgreSQL function that computes the hash, with `(value, 0)`. */
  readonly hashFunction: string
}

const FAMILIES: Record<string, readonly [HashFamily, string]> = {
  smallint: ['int', 'hashint8extended'],
  integer: ['int', 'hashint8extended'],
  bigint: ['int', 'hashint8extended'],
  text: ['text', 'hashtextextended'],
  'character varying': ['text', 'hashtextextended'],
  character: ['bpchar', 'hashbpcharextended'],
  boolean: ['bool', 'hashboolextended'],
  uuid: ['uuid', 'uuid_hash_extended'],
  date: ['date', 'hashdateextended'],
  'timestamp without time zone': ['timestamp', 'timestamp_hash_extended'],
  'timestamp with time zone': ['timestamptz', 'timestamptz_hash_extended'],
  numeric: ['engine', 'hash_numeric_extended'],
  real: ['engine', 'hashfloat8extended'],
  'double precision': ['engine', 'hashfloat8extended'],
  oid: ['engine', 'hashoidextended'],
  name: ['engine', 'hashnameextended'],
  '"char"': ['engine', 'hashcharextended'],
  bytea: ['engine', 'hashbyteaextended'],
  inet: ['engine', 'hashinetextended'],
  cidr: ['engine', 'hashinetextended'],
  interval: ['engine', 'interval_hash_extended'],
  macaddr: ['engine', 'hashmacaddrextended'],
  macaddr8: ['engine', 'hashmacaddr8extended'],
  'time without time zone': ['engine', 'time_hash_extended'],
  'time with time zone': ['engine', 'timetz_hash_extended'],
  jsonb: ['engine', 'jsonb_hash_extended'],
  pg_lsn: ['engine', 'pg_lsn_hash_extended'],
}

/** Names that PostgreSQL's grammar or users write instead of the `format_type` name. */
const ALIASES: Record<string, string> = {
  int: 'integer',
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  bool: 'boolean',
  varchar: 'character varying',
  bpchar: 'character',
  char: 'character',
  float4: 'real',
  float8: 'double precision',
  decimal: 'numeric',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
  time: 'time without time zone',
  timetz: 'time with time zone',
}

const cache = new Map<string, HashType | undefined>()

/** The hash type of a type name (`format_type` or `pg_type.typname` spelling), or undefined when it cannot be a key. */
export function hashTypeOf(name: string): HashType | undefined {
  if (cache.has(name)) return cache.get(name)
  if (cache.size > 10_000) cache.clear()
  const type = parseTypeName(name)
  cache.set(name, type)
  return type
}

function parseTypeName(name: string): HashType | undefined {
  const open = name.indexOf('(')
  const close = name.indexOf(')', open)
  const modifier = open < 0 ? undefined : name.slice(open + 1, close)
  const written = open < 0 ? name : name.slice(0, open) + name.slice(close + 1)
  const base = ALIASES[written.trim()] ?? written.trim()
  const found = FAMILIES[base]
  if (found === undefined) return undefined
  const [family, hashFunction] = found
  // A bare `character` is character(1); bpchar without a length is listed by format_type as `bpchar`.
  const length =
    base === 'character' && modifier === undefined && written.trim() !== 'bpchar' ? '1' : modifier
  return { family, group: hashFunction, base, modifier: length, hashFunction }
}
