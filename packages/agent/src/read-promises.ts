/** What an instance that need not run has promised: read from its folder, so that a start can tell which coordinator is the newest. */
import { stateDir } from '@mirabelle/instance'
import type { AgentInstanceRow } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { readJsonFile } from './agent-config.ts'

/** Files that are missing are what a new instance has; ones that cannot be read are the instance's own to complain of. */
export async function readPromises(
  disk: Disk,
  datadir: string,
): Promise<Pick<AgentInstanceRow, 'promisedEpoch' | 'dataRole'>> {
  const [epoch, role] = await Promise.all([
    valueOf(disk, datadir, 'epoch.json'),
    valueOf(disk, datadir, 'role.json'),
  ])
  return {
    promisedEpoch: Number.isSafeInteger(epoch) ? (epoch as number) : null,
    dataRole: role === 'p' || role === 'm' ? role : null,
  }
}

/** The copy that was begun and is not complete. */
export async function readCopying(disk: Disk, datadir: string): Promise<'differential' | 'full' | null> {
  const copying = await valueOf(disk, datadir, 'copying.json')
  return copying === 'differential' || copying === 'full' ? copying : null
}

async function valueOf(disk: Disk, datadir: string, name: string): Promise<unknown> {
  try {
    const file = await readJsonFile(disk, `${stateDir(datadir)}/${name}`)
    return (file as { value?: unknown } | undefined)?.value
  } catch {
    return undefined
  }
}
