// A lock between processes of one checkout: a file that holds the owner's pid, and the pid of the program that it
// runs meanwhile (which may outlive it). Whoever finds a lock whose processes are all dead, or one older than the
// limit, takes it over.
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const limitMs = 20 * 60_000

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Puts our pid in place in one step (link fails when the name exists). */
function tryTake(path) {
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, String(process.pid))
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    return false
  } finally {
    rmSync(mine, { force: true })
  }
}

/** The text of the lock when its owner is gone; undefined when it is held, or has just been released. */
function abandoned(path) {
  try {
    const text = readFileSync(path, 'utf8')
    const tooOld = Date.now() - statSync(path).mtimeMs > limitMs
    return tooOld || !text.split(' ').map(Number).some(isAlive) ? text : undefined
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Moves an abandoned lock away; puts it back if another process took it over in between. */
function clear(path, text) {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    if (readFileSync(aside, 'utf8') !== text) linkSync(aside, path)
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Writes a second pid into our lock: it stays held while that process lives, even if we are killed. */
function alsoHeldBy(path, pid) {
  const next = `${path}.${process.pid}`
  writeFileSync(next, `${process.pid} ${pid}`)
  renameSync(next, path)
}

/** Runs `work(holdFor)` while holding the lock; `holdFor(pid)` names a child that works under it. `onWait` is called once when another process holds it. */
export async function withLock(path, work, onWait = () => {}) {
  const giveUpAt = Date.now() + limitMs
  for (let waited = false; !tryTake(path); waited = true) {
    const text = abandoned(path)
    if (text !== undefined) {
      clear(path, text)
      continue
    }
    if (Date.now() > giveUpAt) throw new Error(`${path} has been held for too long; remove it and try again`)
    if (!waited) onWait()
    await delay(200)
  }
  try {
    return await work((pid) => alsoHeldBy(path, pid))
  } finally {
    rmSync(path, { force: true })
  }
}
