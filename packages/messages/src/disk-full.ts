/** Full disks: how they are recognized, and what is said of them. */
import { isMirabelleError, MirabelleError } from './errors.ts'

const WORDS = /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/

/** Whether an error, or one that caused it, is that a disk has no room. Errors of PostgreSQL, and those that came from another thread, have only words. */
export function isDiskFull(error: unknown): boolean {
  for (let one = error; one instanceof Error; one = one.cause)
    if (isMirabelleError(one, 'disk.full') || WORDS.test(one.message)) return true
  return false
}

/** `disk.full` with the folder and what failed there, when that is what the error is; the error itself otherwise. */
export function diskFullOr(error: unknown, folder: string): unknown {
  if (!isDiskFull(error) || isMirabelleError(error, 'disk.full')) return error
  return new MirabelleError('disk.full', `${diskFullWords(folder)} (${(error as Error).message})`, {
    cause: error,
  })
}

/** What is wrong, and what to do first. */
export function diskFullWords(folder: string): string {
  return `the disk of ${folder} is full: make room there`
}
