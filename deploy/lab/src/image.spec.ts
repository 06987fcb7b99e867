import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { cpioArchive } from './cpio.js'
import { releaseOf } from './kernels.js'
import { loadOrder } from './load-order.js'
import { imageSources, moduleSources } from './paths.js'

describe('A host\'s image', () => {
  test('is read by cpio as it was meant: folders, files of any length, links, modes, and a second archive joined to it', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'lab-cpio-'))
    try {
      const files = [0, 1, 2, 3, 4, 5, 4_097].map((length) => ({ kind: 'file' as const, path: `in/f${length}`, bytes: Buffer.alloc(length, length % 251), mode: 0o640 }))
      const first = cpioArchive([{ kind: 'folder', path: 'in', mode: 0o700 }, ...files, { kind: 'link', path: 'link', to: 'in/f5' }])
      const second = cpioArchive([{ kind: 'file', path: 'later', bytes: Buffer.from('x') }])
      for (const archive of [first, second]) {
        expect(archive.length % 4).toBe(0)
        const done = spawnSync('busybox', ['cpio', '-i'], { cwd: folder, input: archive })
        expect(done.status, done.stderr.toString()).toBe(0)
      }
      for (const file of files) expect(readFileSync(path.join(folder, file.path)).equals(file.bytes), file.path).toBe(true)
      expect(statSync(path.join(folder, 'in')).mode & 0o777).toBe(0o700)
      expect(statSync(path.join(folder, 'in/f1')).mode & 0o777).toBe(0o640)
      expect(readlinkSync(path.join(folder, 'link'))).toBe('in/f5')
      expect(readFileSync(path.join(folder, 'later'), 'utf8')).toBe('x')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test.each(['/etc/passwd', '../x', 'a/../b', '', 'a\0b'])('takes no file called %j', (name) => {
    expect(() => cpioArchive([{ kind: 'file', path: name, bytes: Buffer.alloc(0) }])).toThrow('Not a path inside an image')
  })

  test('loads modules behind what they depend on, once each, and leaves out what the kernel has built in', () => {
    const dep = [
      'kernel/drivers/virtio/virtio.ko:', 'kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko',
      'kernel/drivers/block/virtio-blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko',
      'kernel/drivers/net/virtio_net.ko: kernel/net/failover.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko', 'kernel/net/failover.ko:', '',
    ].join('\n')
    expect(loadOrder(dep, ['virtio_pci', 'virtio_net', 'virtio_blk']).map((file) => path.basename(file)))
      .toEqual(['virtio.ko', 'virtio_ring.ko', 'failover.ko', 'virtio_net.ko', 'virtio-blk.ko.xz'])
  })

  test('is for the release that the headers\' package names, not for the common ones', () => {
    expect(releaseOf([
      { name: 'linux-headers-cloud-amd64', version: '6.1.176-1' }, { name: 'linux-headers-6.1.0-50-common', version: '6.1.176-1' },
      { name: 'linux-headers-6.1.0-50-cloud-amd64', version: '6.1.176-1' },
    ])).toBe('6.1.0-50-cloud-amd64')
    expect(() => releaseOf([{ name: 'linux-headers-cloud-amd64', version: '1' }])).toThrow('no headers')
  })
})

test('Every shell script of the lab is shellcheck clean', () => {
  const scripts = [imageSources, moduleSources].flatMap((folder) => readdirSync(folder).map((name) => path.join(folder, name))).filter((file) => readFileSync(file, 'utf8').startsWith('#!/bin/sh'))
  expect(scripts.map((file) => path.basename(file)).sort()).toEqual(['init', 'make-inside.sh', 'reader'])
  const done = spawnSync('shellcheck', scripts, { encoding: 'utf8' })
  expect(done.stdout).toBe('')
  expect(done.status).toBe(0)
})
