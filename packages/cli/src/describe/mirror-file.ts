/**
 * The input files of `recover -i`, `mirrors add -i` and `mirrors move -i`, in Greenplum's form: one line a segment, parts separated by `|`, groups by a blank,
 * `#` begins a comment. Pure: text and catalog in, moves out.
 */
import type { MirrorMove, MirrorPlace, SegmentRow } from '@mirabelle/messages'
import { CliError } from '../errors.ts'
import type { HostEntry } from '../folder/cluster-file.ts'

export interface MirrorFile {
  readonly path: string
  readonly text: string
}

/** What the lines speak of. */
export interface Surroundings {
  readonly rows: readonly SegmentRow[]
  readonly hosts: readonly HostEntry[]
}

interface Line {
  readonly number: number
  readonly groups: readonly (readonly string[])[]
}

/** Greenplum's row types of an input file. */
const TYPES = { I: 'incremental', D: 'differential', F: 'full' } as const

function linesOf({ text }: MirrorFile): Line[] {
  return text
    .split('\n')
    .map((line, i) => ({ number: i + 1, line: line.replace(/#.*/, '').trim() }))
    .filter(({ line }) => line !== '')
    .map(({ number, line }) => ({ number, groups: line.split(/\s+/).map((group) => group.split('|')) }))
}

function wrong(file: MirrorFile, { number }: Line, what: string): CliError {
  return new CliError(`${file.path}:${number}: ${what}`)
}

/**
 * `recover -i`: `[I|D|F|]address|port|directory` recovers in place; a second group `address|port|directory` gives a new place; the same place twice is a
 * full copy in place. One that an earlier run has moved there already is only completed.
 */
export function parseRecoverFile(file: MirrorFile, around: Surroundings): MirrorMove[] {
  const targets = new Map<string, number>()
  const once = (line: Line, what: string, key: string): void => {
    const other = targets.get(key)
    if (other !== undefined)
      throw new CliError(`${file.path}: config file lines ${other} and ${line.number} conflict: ${what}`)
    targets.set(key, line.number)
  }
  return linesOf(file).map((line) => {
    if (line.groups.length > 2)
      throw wrong(file, line, `expected 1 or 2 groups but found ${line.groups.length}`)
    const [first, second] = line.groups as [string[], string[] | undefined]
    const typed = first.length === 4 && first[0] !== undefined && Object.hasOwn(TYPES, first[0])
    const mode = typed ? TYPES[first[0] as keyof typeof TYPES] : null
    const parts = typed ? first.slice(1) : first
    if (parts.length !== 3)
      throw wrong(file, line, `expected 3 parts on failed segment group, obtained ${parts.length}`)
    const found = findRow(parts, around)
    const failed =
      found ?? (second === undefined ? undefined : mirrorAt(placeOf(file, line, second, around), around))
    if (failed === undefined)
      throw wrong(
        file,
        line,
        `A segment to recover was not found in configuration. This segment is described by address|port|directory '${parts.join('|')}'`,
      )
    if (failed.content < 0)
      throw wrong(file, line, `dbid ${failed.dbid} belongs to the coordinator: "recover" is for segments`)
    if (failed.role === 'p')
      throw wrong(
        file,
        line,
        `dbid ${failed.dbid} acts as primary of content ${failed.content}: only a mirror can be recovered from it`,
      )
    once(
      line,
      `Cannot recover the same failed segment ${failed.hostname} and data directory ${failed.datadir} twice.`,
      `failed ${failed.dbid}`,
    )
    if (second === undefined) return moveOf('recover', failed, null, mode)
    if (found === undefined) return moveOf('recover', failed, null, null)
    if (second.length !== 3)
      throw wrong(file, line, `expected 3 parts on new segment group, obtained ${second.length}`)
    const to = placeOf(file, line, second, around)
    once(
      line,
      `Cannot recover to the same segment ${to.hostname} and data directory ${to.datadir} twice.`,
      `to ${to.hostname} ${to.datadir}`,
    )
    const same = to.hostname === failed.hostname && to.port === failed.port && to.datadir === failed.datadir
    if (same) return moveOf('recover', failed, null, 'full')
    if (mode !== null && mode !== 'full')
      throw wrong(file, line, `a segment that gets a new place is copied whole: ${first[0]} cannot be had`)
    refuseTaken(file, line, to, around)
    return moveOf('recover', failed, to, null)
  })
}

/** `mirrors move -i`: `old_address|port|directory new_address|port|directory`. One that was moved already is only completed. */
export function parseMoveFile(file: MirrorFile, around: Surroundings): MirrorMove[] {
  return linesOf(file).map((line) => {
    if (line.groups.length !== 2) throw wrong(file, line, `expected 2 groups but found ${line.groups.length}`)
    const [from, into] = line.groups as [string[], string[]]
    for (const group of [from, into])
      if (group.length !== 3)
        throw wrong(file, line, `expected 3 parts in each group, obtained ${group.length}`)
    const to = placeOf(file, line, into, around)
    const old = findRow(from, around)
    if (old === undefined) {
      const there = mirrorAt(to, around)
      if (there !== undefined) return moveOf('move', there, null, null)
      throw wrong(file, line, `Old mirror segment does not exist with given information: ${from.join('|')}`)
    }
    if (old.content < 0)
      throw wrong(file, line, `Cannot move master or master mirror segments: ${from.join('|')}`)
    if (old.role !== 'm')
      throw wrong(file, line, `Old mirror segment is not currently in a mirror role: ${from.join('|')}`)
    if (mirrorAt(to, around)?.dbid === old.dbid)
      throw wrong(file, line, `old and new place are the same: ${from.join('|')}`)
    refuseTaken(file, line, to, around)
    return moveOf('move', old, to, null)
  })
}

/** `mirrors add -i`: `content|address|port|directory`, a line for each content. A mirror that an earlier run has made there already is no hindrance. */
export function parseAddFile(file: MirrorFile, around: Surroundings): MirrorMove[] {
  const contents = new Set(around.rows.filter(({ content }) => content >= 0).map(({ content }) => content))
  const given = new Map<number, MirrorMove>()
  for (const line of linesOf(file)) {
    const [group] = line.groups
    if (line.groups.length !== 1 || group?.length !== 4)
      throw wrong(file, line, 'expected contentID|address|port|data_dir')
    const content = Number(group[0])
    if (!/^\d+$/.test(group[0] ?? '') || !contents.has(content))
      throw wrong(file, line, `Invalid content ${group[0]} specified in input file`)
    if (given.has(content)) throw wrong(file, line, `content ${content} is named twice`)
    const to = placeOf(file, line, group.slice(1), around)
    if (mirrorAt(to, around)?.content !== content) refuseTaken(file, line, to, around)
    given.set(content, { kind: 'add', content, dbid: null, to, mode: null })
  }
  if (given.size !== contents.size)
    throw new CliError(
      `${file.path}: Wrong number of mirrors specified (specified ${given.size} mirror(s) for ${contents.size} primarie(s))`,
    )
  return [...given.values()].sort((a, b) => a.content - b.content)
}

function moveOf(
  kind: MirrorMove['kind'],
  row: SegmentRow,
  to: MirrorPlace | null,
  mode: MirrorMove['mode'],
): MirrorMove {
  return { kind, content: row.content, dbid: row.dbid, to, mode }
}

/** The row of `address|port|directory`; the address may be the name of the host. */
function findRow(
  [address, port, datadir]: readonly string[],
  { rows }: Surroundings,
): SegmentRow | undefined {
  return rows.find(
    (row) =>
      (row.hostname === address ||
        row.address === address ||
        row.endpoint.addresses.includes(address ?? '')) &&
      String(row.port) === port &&
      row.datadir === datadir,
  )
}

/** The mirror of a segment at the very place. */
function mirrorAt(place: MirrorPlace, { rows }: Surroundings): SegmentRow | undefined {
  return rows.find(
    ({ content, role, hostname, datadir, port }) =>
      content >= 0 &&
      role === 'm' &&
      hostname === place.hostname &&
      datadir === place.datadir &&
      port === place.port,
  )
}

function placeOf(
  file: MirrorFile,
  line: Line,
  parts: readonly string[],
  { hosts }: Surroundings,
): MirrorPlace {
  const [address = '', portText = '', datadir = ''] = parts
  const port = Number(portText)
  if (!/^\d+$/.test(portText) || port < 1 || port > 65_535)
    throw wrong(file, line, `${portText} is no port: it must be a whole number from 1 to 65535`)
  if (!datadir.startsWith('/')) throw wrong(file, line, `the directory ${datadir} must be an absolute path`)
  const named = hosts.find(({ name }) => name === address)
  const candidates =
    named === undefined ? hosts.filter(({ addresses }) => addresses.includes(address)) : [named]
  const host =
    candidates.length > 1 ? candidates.find(({ dir }) => datadir.startsWith(`${dir}/`)) : candidates[0]
  if (host !== undefined)
    return {
      hostname: host.name,
      address: named === undefined ? address : null,
      port,
      datadir: datadir.replace(/\/+$/, ''),
    }
  throw wrong(
    file,
    line,
    candidates.length > 1
      ? `the hosts ${candidates.map(({ name }) => name).join(', ')} have the address ${address}: give the name of the host instead`
      : `there is no host ${address}; the hosts are ${hosts.map(({ name }) => name).join(', ')}`,
  )
}

function refuseTaken(file: MirrorFile, line: Line, to: MirrorPlace, { rows }: Surroundings): void {
  for (const row of rows) {
    if (row.hostname !== to.hostname) continue
    if (row.datadir === to.datadir)
      throw wrong(
        file,
        line,
        `dbid ${row.dbid} has the data directory '${to.datadir}' on host ${to.hostname} already`,
      )
    if (row.port === to.port || row.endpoint.port === to.port)
      throw wrong(file, line, `dbid ${row.dbid} has the port ${to.port} on host ${to.hostname} already`)
  }
}
