/**
 * Makes the folder of an instance. The identity is written last: a folder without one is the rest of a creation that did not end, and is
 * made anew; one that has it, and never ran, is done already. So a creation can be asked for again after it was interrupted anywhere.
 */
import { bootstrapSql } from '@mirabelle/coordinator/ha'
import { cloneTemplate, createTemplate } from '@mirabelle/engine'
import { readIdentity, writeIdentity } from '@mirabelle/instance'
import { MirabelleError, type Content, type Dbid, type MessageOf } from '@mirabelle/messages'
import { faults, type Disk } from '@mirabelle/runtime'

export interface NewInstance {
  readonly identity: {
    readonly clusterId: string
    readonly content: Content
    readonly dbid: Dbid
    /** Wall clock, ms since 1970. */
    readonly createdAt: number
  }
  /** Puts the data directory into the folder. */
  readonly fill: () => Promise<void>
  /** Its first start copies everything anew: what the instance itself has left without an identity is deleted, and one that has run is done already. */
  readonly isCopied?: boolean
}

/** What an interrupted creation may leave behind. */
const LEFTOVER = /^(pgdata(\..*)?|wal)$/
/** What an instance that has run has besides. */
const USED = /^(start\.json|instance\.(lock|log)|log|state)$/

/** Rejects with `datadir.foreign` when the folder holds anything else. */
export async function createInstanceFolder(disk: Disk, datadir: string, wanted: NewInstance): Promise<void> {
  const { identity, fill, isCopied = false } = wanted
  const names = (await disk.exists(datadir)) ? (await disk.list(datadir)).map(({ name }) => name) : []
  if (names.includes('instance.json')) {
    const found = await readIdentity(disk, datadir)
    const same =
      found.clusterId === identity.clusterId &&
      found.content === identity.content &&
      found.dbid === identity.dbid
    if (same && (isCopied || !names.includes('start.json'))) return
    throw new MirabelleError(
      'datadir.foreign',
      `dbid ${identity.dbid}: the folder ${datadir} holds dbid ${found.dbid} of content ${found.content} of cluster ${found.clusterId} already`,
    )
  }
  if (!names.every((name) => LEFTOVER.test(name) || (isCopied && USED.test(name))))
    throw new MirabelleError(
      'datadir.foreign',
      `dbid ${identity.dbid}: the folder ${datadir} exists and holds other files (${names.slice(0, 3).join(', ')})`,
    )
  if (faults !== undefined) await faults.at('agent.create.begin')
  for (const name of names) await disk.remove(`${datadir}/${name}`)
  await fill()
  if (faults !== undefined) await faults.at('agent.create.filled')
  await writeIdentity(disk, datadir, identity)
  if (faults !== undefined) await faults.at('agent.create.done')
}

/** Fills the folder of an instance: an empty one is filled by its first start, from the primary. */
export async function fillFrom(
  from: MessageOf<'agent.create'>['from'],
  disk: Disk,
  datadir: string,
  templateDir: string,
): Promise<void> {
  if (from === 'empty') return disk.makeDir(datadir)
  await cloneTemplate(await createTemplate({ cacheDir: templateDir, bootstrapSql }), datadir)
}
