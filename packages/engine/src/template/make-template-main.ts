/**
 * Child process that makes one template: initdb, the bootstrap SQL, a clean shutdown. Started by template.ts, ends by itself;
 * exit status 0 means that the folder is complete and durable.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { PGlite } from '@electric-sql/pglite'
import { NodeFS } from '@electric-sql/pglite/nodefs'
import { instancePaths } from '../layout.ts'
import { startParams } from '../worker/backend.ts'
import { syncFile, syncFolder } from './copy-tree.ts'
import { markMade, type MakeTemplateOrder } from './template.ts'

process.umask(0o077)
const order = JSON.parse(await text(process.stdin)) as MakeTemplateOrder
const { pgdata } = instancePaths(order.folder)
await mkdir(pgdata, { mode: 0o700 })
const pg = await PGlite.create({
  fs: new NodeFS(pgdata),
  initDbStartParams: [
    `--wal-segsize=${order.walSegsizeMb}`,
    '--data-checksums',
    '--encoding=UTF8',
    '--locale=C',
    '--username=postgres',
  ],
  startParams: startParams('primary', ['allow_system_table_mods=on']),
})
if (order.bootstrapSql !== '') await pg.exec(order.bootstrapSql)
await pg.exec('CHECKPOINT')
await pg.close()
await syncTree(pgdata)
await markMade(order.folder)

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) await syncFile(path)
  }
  await syncFolder(folder)
}
