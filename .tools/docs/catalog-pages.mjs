// The pages of the catalogues: protocol, settings, errors. Pure: a catalogue in, Markdown out.
import { code, generatedNote, page, table } from './markdown.mjs'

const source = 'the catalogues in packages/*/src'
const family = (type) => (type.includes('.') ? type.slice(0, type.indexOf('.')) : 'common')

function renderMessage(type, { doc, reply, fields }) {
  const rows = Object.entries(fields).map(([name, field]) => [code(name), code(field.type), field.doc])
  return page(
    `### \`${type}\``,
    doc,
    reply === null ? '' : `Answered with ${code(reply)}.`,
    rows.length === 0 ? 'No fields.' : table(['field', 'type', 'says'], rows),
  ).trimEnd()
}

/** docs/protocol.md from the message catalogue. */
export function renderProtocolPage(messages) {
  const grouped = new Map()
  for (const entry of Object.entries(messages)) {
    const name = family(entry[0])
    grouped.set(name, [...(grouped.get(name) ?? []), entry])
  }
  const sections = [...grouped].flatMap(([name, entries]) => [
    `## ${name}`,
    ...entries.map(([type, definition]) => renderMessage(type, definition)),
  ])
  return page(
    generatedNote(source),
    '# The cluster protocol',
    'Frames of length-prefixed msgpack between the processes of a cluster. Any request can be answered with `error`, ' +
      'whose codes are on [the page of errors](errors.md). A message of an unknown type, or with a field of another ' +
      'shape, closes its connection.',
    table(
      ['message', 'answered with', 'says'],
      Object.entries(messages).map(([type, { doc, reply }]) => [code(type), code(reply ?? ''), doc]),
    ),
    ...sections,
  )
}

const kibibyte = 1024

/** A value of a setting with its unit, as a person writes it. */
export function renderSettingValue(kind, value) {
  if (value === undefined) return ''
  if (kind === 'bool') return value ? 'on' : 'off'
  if (kind === 'ms') {
    if (value === 0) return '0'
    if (value % 3_600_000 === 0) return `${value / 3_600_000} h`
    if (value % 60_000 === 0) return `${value / 60_000} min`
    return value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`
  }
  if (kind !== 'bytes') return String(value)
  let amount = value
  let unit = 0
  while (amount >= kibibyte && amount % kibibyte === 0 && unit < 5) {
    amount /= kibibyte
    unit += 1
  }
  return `${amount} ${['B', 'kB', 'MB', 'GB', 'TB', 'PB'][unit]}`
}

function settingRange({ kind, min, max, values }) {
  if (values !== undefined) return values.map(code).join(', ')
  if (min === undefined && max === undefined) return kind === 'bool' ? 'on, off' : ''
  return `${renderSettingValue(kind, min)} – ${renderSettingValue(kind, max)}`
}

/** docs/settings.md from the settings catalogue. */
export const renderSettingsPage = (settings) =>
  page(
    generatedNote(source),
    '# Settings',
    'Names follow Greenplum where Greenplum has the setting. They live in the coordinator’s catalog; `SHOW name` and `mirabelle config list` print them, `mirabelle config set name value` and `ALTER SYSTEM SET name = value` change them. A number without a unit is in the setting’s own, as in PostgreSQL and Greenplum.',
    table(
      ['setting', 'default', 'range', 'unit', 'takes effect', 'what it does'],
      Object.entries(settings).map(([name, entry]) => [
        code(name),
        renderSettingValue(entry.kind, entry.default),
        settingRange(entry),
        entry.unit ?? '',
        entry.reload ? 'at once' : 'after a restart',
        entry.doc,
      ]),
    ),
  )

/** docs/errors.md from every package's error catalogue: [{packageName, errors}]. */
export const renderErrorsPage = (catalogs) =>
  page(
    generatedNote(source),
    '# Errors',
    'Every error of the cluster has a code, a sentence, and says whether the same request may succeed later by itself. ' +
      'What reaches a client of the PostgreSQL protocol carries the SQLSTATE.',
    ...catalogs.flatMap(({ packageName, errors }) => [
      `## ${packageName}`,
      table(
        ['code', 'SQLSTATE', 'worth retrying', 'what it means and what to do'],
        Object.entries(errors).map(([name, { sentence, retryable, sqlstate }]) => [
          code(name),
          code(sqlstate),
          retryable ? 'yes' : 'no',
          sentence,
        ]),
      ),
    ]),
  )
