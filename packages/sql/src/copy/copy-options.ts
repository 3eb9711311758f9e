/**
 * Options of COPY: read from the parse tree with PostgreSQL's defaults, written back as text.
 */
import { namesOf, type Ast } from '../ast.ts'
import { notSupported, Refusal } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../lex/identifiers.ts'
import type { CopyOptions } from '../plan.ts'

export const DEFAULT_COPY_OPTIONS: CopyOptions = {
  format: 'text',
  delimiter: '\t',
  null: '\\N',
  header: false,
  quote: '"',
  escape: '"',
  forceNull: [],
  forceNotNull: [],
}

export function readCopyOptions(options: readonly Ast[]): CopyOptions {
  const given = new Map<string, Ast | undefined>()
  for (const item of options) given.set(String(item.DefElem.defname), item.DefElem.arg as Ast | undefined)
  const format = textOf(given.get('format')) ?? 'text'
  if (format === 'binary')
    throw notSupported(
      'COPY in binary format is not supported for distributed tables',
      'Use text or CSV format.',
    )
  if (format !== 'text' && format !== 'csv')
    throw new Refusal('22023', `COPY format "${format}" not recognized`)
  for (const name of given.keys())
    if (!KNOWN.has(name))
      throw notSupported(`COPY option ${name} is not supported for distributed tables`, 'Leave it out.')
  const encoding = textOf(given.get('encoding'))
  if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) {
    throw notSupported(
      `COPY in encoding ${encoding} is not supported for distributed tables`,
      'Convert the data to UTF-8.',
    )
  }
  const csv = format === 'csv'
  const quote = oneByte('quote', textOf(given.get('quote')) ?? '"')
  return {
    format,
    delimiter: oneByte('delimiter', textOf(given.get('delimiter')) ?? (csv ? ',' : '\t')),
    null: textOf(given.get('null')) ?? (csv ? '' : '\\N'),
    header: headerOf(given),
    quote,
    escape: oneByte('escape', textOf(given.get('escape')) ?? quote),
    forceNull: columnsOf(given, 'force_null'),
    forceNotNull: columnsOf(given, 'force_not_null'),
  }
}

const KNOWN = new Set([
  'format',
  'delimiter',
  'null',
  'header',
  'quote',
  'escape',
  'encoding',
  'freeze',
  'force_null',
  'force_not_null',
  'force_quote',
])

/** ` WITH (…)` with everything that is not default, or ''. `from`: options of COPY FROM. */
export function copyOptionsText(options: CopyOptions, from: boolean): string {
  const csv = options.format === 'csv'
  const parts: string[] = csv ? ['FORMAT csv'] : []
  if (options.delimiter !== (csv ? ',' : '\t')) parts.push(`DELIMITER ${quoteLiteral(options.delimiter)}`)
  if (options.null !== (csv ? '' : '\\N')) parts.push(`NULL ${quoteLiteral(options.null)}`)
  if (options.header !== false) parts.push(options.header === 'match' ? 'HEADER MATCH' : 'HEADER true')
  if (csv && options.quote !== '"') parts.push(`QUOTE ${quoteLiteral(options.quote)}`)
  if (csv && options.escape !== options.quote) parts.push(`ESCAPE ${quoteLiteral(options.escape)}`)
  if (from && options.forceNull.length > 0) parts.push(`FORCE_NULL ${columnText(options.forceNull)}`)
  if (from && options.forceNotNull.length > 0)
    parts.push(`FORCE_NOT_NULL ${columnText(options.forceNotNull)}`)
  return parts.length === 0 ? '' : ` WITH (${parts.join(', ')})`
}

function columnText(columns: readonly string[]): string {
  return columns[0] === '*' ? '*' : `(${columns.map(quoteIdentifier).join(', ')})`
}

function columnsOf(given: ReadonlyMap<string, Ast | undefined>, name: string): string[] {
  const arg = given.get(name)
  if (!given.has(name)) return []
  if (arg === undefined || arg.A_Star !== undefined) return ['*']
  return namesOf(arg.List?.items as Ast[])
}

function headerOf(given: ReadonlyMap<string, Ast | undefined>): boolean | 'match' {
  if (!given.has('header')) return false
  const text = textOf(given.get('header'))
  if (text === undefined) return true
  if (/^match$/i.test(text)) return 'match'
  return /^(true|on|1|t)$/i.test(text)
}

function textOf(arg: Ast | undefined): string | undefined {
  if (arg === undefined) return undefined
  if (arg.String !== undefined) return String(arg.String.sval ?? '')
  if (arg.Integer !== undefined) return String(arg.Integer.ival ?? 0)
  if (arg.Boolean !== undefined) return arg.Boolean.boolval === true ? 'true' : 'false'
  return undefined
}

function oneByte(name: string, text: string): string {
  if (text.length !== 1 || text.charCodeAt(0) > 127)
    throw new Refusal('22023', `COPY ${name} must be a single one-byte character`)
  return text
}
