/** A native PostgreSQL primary with one synchronous standby on loopback, for ratios measured in the same run. */
import { spawnSync, execFileSync } from 'node:child_process'
import { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

/** Folder of the newest native PostgreSQL's programs, or undefined. */
export function nativeBin() {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return undefined
  const versions = readdirSync(root).filter((name) => existsSync(join(root, name, 'bin', 'initdb')))
  versions.sort((a, b) => Number(b) - Number(a))
  return versions[0] === undefined ? undefined : join(root, versions[0], 'bin')
}

/** A free TCP port on loopback. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/** PostgreSQL refuses to run as root: it runs as the user `postgres` then. */
function identity() {
  if (process.getuid?.() !== 0) return {}
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }).trim())
  return { uid: id('-u'), gid: id('-g') }
}

export async function startNativePair(dir, bin) {
  const who = identity()
  const own = (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    if (who.uid !== undefined) chownSync(path, who.uid, who.gid)
    return path
  }
  const run = (program, args) => {
    const result = spawnSync(join(bin, program), args, {
      ...who,
      encoding: 'utf8',
      cwd: own(dir),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`)
  }
  own(dir)
  const primary = join(dir, 'primary')
  const standby = join(dir, 'standby')
  const port = await freePort()
  const standbyPort = await freePort()
  run('initdb', [
    '-D',
    primary,
    '-U',
    'postgres',
    '-A',
    'trust',
    '--data-checksums',
    '--locale=C',
    '-E',
    'UTF8',
  ])
  appendFileSync(
    join(primary, 'postgresql.conf'),
    `\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '${dir}'\nshared_buffers = 128MB\nmax_connections = 200\nmax_wal_size = 2GB\n`,
  )
  const start = (folder, itsPort) =>
    run('pg_ctl', ['-D', folder, '-w', '-o', `-p ${itsPort}`, '-l', join(folder, 'server.log'), 'start'])
  const stop = (folder) =>
    spawnSync(join(bin, 'pg_ctl'), ['-D', folder, '-m', 'immediate', 'stop'], {
      ...who,
      cwd: dir,
      stdio: 'ignore',
    })
  start(primary, port)
  try {
    run('pg_basebackup', [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      'postgres',
      '-D',
      standby,
      '-R',
      '-X',
      'stream',
      '-d',
      'application_name=standby',
    ])
    start(standby, standbyPort)
    const psql = (sql) =>
      execFileSync(
        'psql',
        ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-qAtc', sql, 'postgres'],
        { encoding: 'utf8' },
      )
    psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    psql('SELECT pg_reload_conf()')
    for (
      let i = 0;
      psql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").trim() !== '1';
      i++
    ) {
      if (i > 100) throw new Error('the native standby did not become synchronous')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return {
      port,
      stop: () => {
        stop(standby)
        stop(primary)
      },
    }
  } catch (error) {
    stop(standby)
    stop(primary)
    throw error
  }
}
