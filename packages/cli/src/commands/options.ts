/** Options that several commands share, and how their values are checked. */
import { InvalidArgumentError, Option } from 'commander'
import { clusterDir } from '../folder/cluster-folder.ts'

export interface DirOption {
  readonly dir?: string
}
export interface JsonOption {
  readonly json?: boolean
}

export const dirOption = (): Option =>
  new Option('--dir <folder>', 'folder of the cluster (default: $MIRABELLE_DIR or .mirabelle)')
export const jsonOption = (): Option => new Option('--json', 'print one JSON object instead of text')

export const dirOf = (options: DirOption): string => clusterDir(options.dir)

/** Megabytes a second, fractions allowed, as bytes a second. */
export function megabytesASecond(text: string): number {
  const value = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || value < 0.1 || value > 10_000)
    throw new InvalidArgumentError('It must be a number of megabytes a second from 0.1 to 10000.')
  return Math.round(value * 1e6)
}

/** A whole number in a range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    return value
  }
}

/** An option in seconds; `defaultMs` and the value that the command gets are in ms. */
export const secondsOption = (flags: string, description: string, defaultMs: number): Option =>
  new Option(flags, description).argParser(seconds).default(defaultMs, String(defaultMs / 1000))

/** Seconds, fractions allowed, as ms. */
function seconds(text: string): number {
  const value = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || value > 86_400)
    throw new InvalidArgumentError('It must be a number of seconds.')
  return value * 1000
}

/** dbids, separated by commas. */
export function dbids(text: string): number[] {
  return text.split(',').map(wholeNumber(1, 32_767))
}

/** Contents of segments, separated by commas. */
export function contents(text: string): number[] {
  return text.split(',').map(wholeNumber(0, 16_383))
}

/** The same, and -1 for the coordinator's. */
export function contentsOfAll(text: string): number[] {
  return text.split(',').map(wholeNumber(-1, 16_383))
}

/** name=value, may be given several times. */
export function setting(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must look like name=value.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}
