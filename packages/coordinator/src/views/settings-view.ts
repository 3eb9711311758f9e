/** pg_settings: PostgreSQL's own, with the settings of the cluster in place of what an engine believes of them. */
import {
  formatSetting,
  isSettingName,
  parseSetting,
  settingsCatalog,
  type SettingEntry,
  type SettingName,
  type SettingRow,
  type SettingValue,
} from '@mirabelle/messages'
import { SHOWN_BESIDES } from '@mirabelle/sql'
import { literal } from '../catalog/catalog-sql.ts'
import { OWN_SETTINGS } from '../session/session-settings.ts'
import { refill } from './refill.ts'

/** Holds the settings of the cluster; the view takes the others from PostgreSQL. */
export const SETTINGS_TABLE = 'mirabelle_shown_setting'

const VARTYPES = {
  ms: 'integer',
  int: 'integer',
  bytes: 'integer',
  bool: 'bool',
  enum: 'enum',
  text: 'string',
}

/** SQL that fills it. `shown`: the value as SHOW prints it in this session. */
export function settingsViewSql(
  rows: readonly SettingRow[],
  shown: (name: string) => string | undefined,
): string {
  const own = rows.flatMap((row) => (isSettingName(row.name) ? [values(row.name, row, shown(row.name))] : []))
  const besides = SHOWN_BESIDES.flatMap((name) => {
    const value = shown(name)
    return value === undefined ? [] : [fixed(name, value)]
  })
  return refill(SETTINGS_TABLE, [...own, ...besides]).join('; ')
}

/** What nobody can change. */
function fixed(name: string, value: string): string {
  const text = literal(value)
  const type = /^-?\d+$/.test(value) ? 'integer' : 'string'
  return `${literal(name)},${text},NULL,'Mirabelle',NULL,'internal','${type}','default',NULL,NULL,NULL,${text},${text}`
}

function values(name: SettingName, row: SettingRow, shown = row.value): string {
  const entry: SettingEntry = settingsCatalog[name]
  const of = (text: string): SettingValue => parseSetting(name, text)
  const { min, max } = entry
  const all = [of(shown), of(row.value), entry.default, min, max].filter((value) => value !== undefined)
  const unit = unitFor(entry, all)
  const print = (value: SettingValue): string =>
    typeof value === 'number' ? String(value / unit.size) : formatSetting(name, value)
  const numeric = VARTYPES[entry.kind] === 'integer'
  const columns = [
    literal(name),
    literal(print(of(shown))),
    optional(unit.name),
    literal('Mirabelle'),
    literal(row.description),
    literal(OWN_SETTINGS.has(name) ? 'user' : 'sighup'),
    literal(VARTYPES[entry.kind]),
    literal(shown !== row.value ? 'session' : row.source === 'default' ? 'default' : 'configuration file'),
    optional(numeric && min !== undefined ? print(min) : undefined),
    optional(numeric && max !== undefined ? print(max) : undefined),
    entry.values === undefined ? 'NULL' : `ARRAY[${entry.values.map(literal).join(',')}]`,
    literal(print(entry.default)),
    literal(print(of(row.value))),
  ]
  return columns.join(',')
}

const SIZES = { ms: 1, s: 1000, B: 1, kB: 1024, MB: 1024 * 1024 } as const

/** The setting's own unit when it gives whole numbers, else the smallest one. */
function unitFor(
  { kind, unit }: SettingEntry,
  all: readonly SettingValue[],
): { readonly name: string | undefined; readonly size: number } {
  if (kind !== 'ms' && kind !== 'bytes') return { name: undefined, size: 1 }
  const smallest = kind === 'ms' ? 'ms' : 'B'
  const size = unit === undefined ? 1 : SIZES[unit]
  const whole = all.every((value) => typeof value === 'number' && value % size === 0)
  return unit !== undefined && whole ? { name: unit, size } : { name: smallest, size: 1 }
}

function optional(text: string | undefined): string {
  return text === undefined ? 'NULL' : literal(text)
}
