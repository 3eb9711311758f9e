/**
 * Two bases of one mirror in one folder, of which `D/pgdata` is the one that counts. A new one is made as `D/base-next` and put in place by two
 * renames; whatever a crash leaves is sorted out by `settleBases` at the next start.
 *
 *     D/pgdata       the base; missing for a moment between the two renames, and then one of the others is whole
 *     D/base-next    being made; whole once it has its control file, which is written last
 *     D/base-old     the one before, until PostgreSQL runs on the new one
 *     D/base-trash   being deleted
 */
import { faults, type Disk } from '@mirabelle/runtime'
import { pgdataDir } from '../state/layout.ts'

/** The base that is being made. */
export const nextBaseDir = (datadir: string): string => `${datadir}/base-next`
const oldBaseDir = (datadir: string): string => `${datadir}/base-old`
const trashDir = (datadir: string): string => `${datadir}/base-trash`

/** Puts the new base in place of the old one. When it rejects, the old one is in place, or the next start puts one there. */
export async function putNextInPlace(disk: Disk, datadir: string): Promise<void> {
  const pgdata = pgdataDir(datadir)
  if (faults !== undefined) await faults.at('refresh.switch')
  await disk.rename(pgdata, oldBaseDir(datadir))
  try {
    if (faults !== undefined) await faults.at('refresh.renamed-old')
    await disk.rename(nextBaseDir(datadir), pgdata)
    if (faults !== undefined) await faults.at('refresh.renamed-new')
  } catch (error) {
    await disk.rename(oldBaseDir(datadir), pgdata)
    throw error
  }
  await disk.syncDir(datadir)
}

/** Puts the old base back: PostgreSQL does not run on the new one. */
export async function putOldBack(disk: Disk, datadir: string): Promise<void> {
  await disk.remove(trashDir(datadir))
  await disk.rename(pgdataDir(datadir), trashDir(datadir))
  await disk.rename(oldBaseDir(datadir), pgdataDir(datadir))
  await disk.syncDir(datadir)
  await disk.remove(trashDir(datadir))
}

/** Deletes all bases but `D/pgdata`; none when that is missing, because then one of the others counts. */
export async function removeOtherBases(disk: Disk, datadir: string): Promise<void> {
  if (await disk.exists(pgdataDir(datadir))) await removeAllOthers(disk, datadir)
}

async function removeAllOthers(disk: Disk, datadir: string): Promise<void> {
  await disk.remove(trashDir(datadir))
  for (const folder of [nextBaseDir(datadir), oldBaseDir(datadir)]) {
    if (!(await disk.exists(folder))) continue
    // Renamed first: what is half deleted must not look like a whole base.
    await disk.rename(folder, trashDir(datadir))
    await disk.syncDir(datadir)
    await disk.remove(trashDir(datadir))
  }
}

/**
 * After a crash: completes a switch that was cut between its renames, and deletes what is left of others. Call it before anything looks at
 * `D/pgdata`; not while a copy over the base is under way, in which `D/pgdata` may be missing. Resolves with what was put in place.
 */
export async function settleBases(disk: Disk, datadir: string): Promise<'next' | 'old' | undefined> {
  const pgdata = pgdataDir(datadir)
  let put: 'next' | 'old' | undefined
  if (!(await disk.exists(pgdata))) {
    if (await isWhole(disk, nextBaseDir(datadir))) put = 'next'
    else if (await isWhole(disk, oldBaseDir(datadir))) put = 'old'
    if (put !== undefined) {
      await disk.rename(put === 'next' ? nextBaseDir(datadir) : oldBaseDir(datadir), pgdata)
      await disk.syncDir(datadir)
    }
  }
  await removeAllOthers(disk, datadir)
  return put
}

function isWhole(disk: Disk, folder: string): Promise<boolean> {
  return disk.exists(`${folder}/global/pg_control`)
}
