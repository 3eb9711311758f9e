/**
 * Texts of settings: read (`5s`, `1GB`, `on`), written back as SHOW prints them, laid over the defaults. Also the mark by which an instance
 * knows which of two sets of texts is the newer one.
 */
import {
  defaultSettings,
  keptByResetAll,
  settingsCatalog,
  type SettingEntry,
  type SettingName,
  type Settings,
} from './settings.ts'

/** A value of any setting. Times in ms, sizes in bytes. */
export type SettingValue = number | boolean | string

type Units = readonly (readonly [unit: string, size: number])[]
const DURATION: Units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
  ['ms', 1],
]
const SIZE: Units = [
  ['TB', 2 ** 40],
  ['GB', 2 ** 30],
  ['MB', 2 ** 20],
  ['kB', 1024],
  ['B', 1],
]

function unitsOf({ kind }: SettingEntry): Units {
  return kind === 'ms' ? DURATION : kind === 'bytes' ? SIZE : []
}

/** Whether there is a setting of this name. */
export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settingsCatalog, name)
}

/** What "reset all" takes back to its default. */
export const resettableSettings: readonly SettingName[] = (
  Object.keys(settingsCatalog) as SettingName[]
).filter((name) => !keptByResetAll.includes(name))

/** The value as SHOW prints it (`5s`, `1GB`, `on`); parseSetting reads it back. */
export function formatSetting(name: SettingName, value: SettingValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value === 'string' || value === 0) return String(value)
  const unit = unitsOf(settingsCatalog[name]).find(([, size]) => value % size === 0)
  return unit === undefined ? String(value) : `${value / unit[1]}${unit[0]}`
}

/** What a setting may be, in words: `from 100ms to 1h`, `on or off`, `one of shutdown, refuse`. */
export function settingRange(name: SettingName): string {
  const { kind, min, max, values = [] }: SettingEntry = settingsCatalog[name]
  if (kind === 'bool') return 'on or off'
  if (kind === 'enum') return `one of ${values.join(', ')}`
  if (kind === 'text') return `one line of at most ${max ?? 0} characters`
  return `from ${formatSetting(name, min ?? 0)} to ${formatSetting(name, max ?? Number.MAX_SAFE_INTEGER)}`
}

/** Parses the text of a setting (`5s`, `1GB`, `on`); a number without unit is in the setting's own. Throws a RangeError that names the setting and its range. */
export function parseSetting(name: SettingName, text: string): SettingValue {
  const entry: SettingEntry = settingsCatalog[name]
  const value = valueOf(entry, text)
  if (value !== undefined) return value
  throw new RangeError(`invalid value for "${name}": "${text}" (${settingRange(name)})`)
}

function valueOf(entry: SettingEntry, text: string): SettingValue | undefined {
  switch (entry.kind) {
    case 'enum':
      return choice(entry, text)
    case 'bool':
      return truth(text)
    case 'text':
      return line(entry, text)
    default:
      return quantity(entry, text)
  }
}

function line({ max = 0 }: SettingEntry, text: string): string | undefined {
  const isOneLine = [...text].every((character) => character >= ' ' && character !== '\u007f')
  return isOneLine && text.length <= max ? text.trim() : undefined
}

function choice({ values }: SettingEntry, text: string): string | undefined {
  return values?.find((value) => value === text.trim().toLowerCase())
}

function truth(text: string): boolean | undefined {
  if (/^\s*(on|true|yes|1)\s*$/i.test(text)) return true
  return /^\s*(off|false|no|0)\s*$/i.test(text) ? false : undefined
}

function quantity(entry: SettingEntry, text: string): number | undefined {
  const [, digits, written = ''] = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text) ?? []
  const units = unitsOf(entry)
  const size = written === '' && units.length === 0 ? 1 : sizeOf(units, written === '' ? entry.unit : written)
  if (digits === undefined || size === undefined) return undefined
  const value = Math.round(Number(digits) * size)
  return Number.isSafeInteger(value) && value >= (entry.min ?? 0) && value <= (entry.max ?? value)
    ? value
    : undefined
}

function sizeOf(units: Units, wanted: string | undefined): number | undefined {
  return units.find(([unit]) => unit === wanted)?.[1]
}

/**
 * Defaults overlaid with texts from a catalog. Unknown names are ignored, and so are values that this version does not take (`refused` hears of
 * them): a catalog written by another version must not keep an instance from starting.
 */
export function settingsFrom(
  texts: Readonly<Record<string, string>>,
  refused: (error: RangeError) => void = () => undefined,
): Settings {
  const values: Record<string, SettingValue> = { ...defaultSettings }
  for (const [name, text] of Object.entries(texts)) {
    if (!isSettingName(name)) continue
    try {
      values[name] = parseSetting(name, text)
    } catch (error) {
      refused(error as RangeError)
    }
  }
  return values as unknown as Settings
}
