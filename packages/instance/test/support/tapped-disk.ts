/** The real disk, with somebody told before and after each step that changes it: to look, to wait, to fail, or to be killed there. */
import { realDisk, type Disk, type FileHandle } from '@mirabelle/runtime'

/** `rename pgdata base-old`, `write base-next/backup_label`, `sync base-next/base/5/1259`, …: paths below the instance's folder. */
export type Step = string
export type Tap = (step: Step, when: 'before' | 'after') => Promise<void> | void

export function tappedDisk(datadir: string, tap: Tap): Disk {
  const below = (path: string): string =>
    path.startsWith(`${datadir}/`) ? path.slice(datadir.length + 1) : path
  const tapped = async <T>(step: Step, work: () => Promise<T>): Promise<T> => {
    await tap(step, 'before')
    const result = await work()
    await tap(step, 'after')
    return result
  }
  // Each file by itself: what goes by the batch has no steps to stop at.
  const { bulk: _, ...plain } = realDisk
  return {
    ...plain,
    open: async (path, mode): Promise<FileHandle> => {
      const file = await realDisk.open(path, mode)
      return { ...file, sync: () => tapped(`sync ${below(path)}`, () => file.sync()) }
    },
    writeFileDurable: (path, content) =>
      tapped(`write ${below(path)}`, () => realDisk.writeFileDurable(path, content)),
    makeDir: (path) => tapped(`makeDir ${below(path)}`, () => realDisk.makeDir(path)),
    rename: (from, to) => tapped(`rename ${below(from)} ${below(to)}`, () => realDisk.rename(from, to)),
    remove: (path) => tapped(`remove ${below(path)}`, () => realDisk.remove(path)),
    syncDir: (path) => tapped(`syncDir ${below(path)}`, () => realDisk.syncDir(path)),
  }
}
