/** `mirabelle config`: settings as a table, and what a change has done. */
import type { ActionResult, SettingRow } from '@mirabelle/messages'
import { columns, type Report } from './lines.ts'

/** The settings; with the ranges, so that whoever wants to change one knows what it may be. */
export function renderSettings(rows: readonly SettingRow[]): string[] {
  if (rows.length === 0) return ['Every setting has its default']
  return columns(
    ['Setting', 'Value', 'Default', 'May be', 'Takes effect'],
    rows.map((row) => [row.name, shown(row.value), shown(row.default), row.range, effect(row)]),
  )
}

/** What has changed, and who does not have it yet. Status 1 when an instance that should run does not. */
export function renderChange(
  before: readonly SettingRow[],
  after: readonly SettingRow[],
  results: readonly ActionResult[],
): Report {
  const changes = after.flatMap((row) => {
    const old = before.find(({ name }) => name === row.name)
    if (old === undefined || (old.value === row.value && old.source === row.source)) return []
    const how = row.source === 'default' ? ', its default' : ''
    return [`${row.name} = ${shown(row.value)}${how} (was ${shown(old.value)}), takes effect ${effect(row)}`]
  })
  const missing = results.filter(({ outcome }) => outcome !== 'done')
  return {
    lines: [
      ...(changes.length === 0 ? ['Nothing has changed'] : changes),
      ...missing.map(({ dbid, content, message }) => `dbid ${dbid} (content ${content}): ${message}`),
    ],
    exitStatus: missing.some(({ outcome }) => outcome === 'failed') ? 1 : 0,
  }
}

function effect({ reload }: SettingRow): string {
  return reload ? 'at once' : 'after a restart of the cluster'
}

/** A text that is empty shows. */
const shown = (value: string): string => (value === '' ? `''` : value)
