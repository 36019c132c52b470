//! Slots of threads, and what forks wait for.

use std::sync::mpsc;
use std::thread;

use super::*;

fn state() -> u64 {
    SLOT.get().map_or(IDLE, ThreadSlot::state)
}

fn address_of_slot() -> usize {
    drop(protect());
    SLOT.get().map_or(0, |slot| std::ptr::from_ref(slot).addr())
}

#[test]
fn protect_nests() {
    let outer = protect();
    let inner = protect();
    assert_eq!(state(), PROTECTED);
    unprotected(|| {
        assert_eq!(state(), IDLE);
        let _callback = protect();
        assert_eq!(state(), PROTECTED);
    });
    assert_eq!(state(), PROTECTED);
    drop(inner);
    assert_eq!(state(), PROTECTED);
    assert!(read().is_none());
    drop(outer);
    assert_eq!(state(), IDLE);
    let reading = read();
    assert_eq!(state(), READING);
    drop(reading);
    assert_eq!(state(), IDLE);
}

#[test]
fn fork_blocks_callers_until_it_is_complete() {
    thread::spawn(|| {
        prepare();
        let callers = [thread::spawn(|| drop(protect())), thread::spawn(|| drop(read()))];
        thread::sleep(Duration::from_millis(20));
        assert!(callers.iter().all(|caller| !caller.is_finished()));
        parent();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    })
    .join()
    .unwrap();
}

#[test]
fn fork_waits_for_callers_and_readers() {
    let (entered, is_protected) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let caller = thread::spawn(move || {
        let reading = read();
        entered.send(()).unwrap();
        may_leave.recv().unwrap();
        drop(reading);
    });
    is_protected.recv().unwrap();
    let forking = thread::spawn(|| {
        prepare();
        parent();
    });
    thread::sleep(Duration::from_millis(20));
    assert!(!forking.is_finished());
    leave.send(()).unwrap();
    forking.join().unwrap();
    caller.join().unwrap();
}

#[test]
fn thread_returns_its_slot_when_it_ends() {
    let slots: std::collections::HashSet<usize> =
        (0..1000).map(|_| thread::spawn(address_of_slot).join().unwrap()).collect();
    // Other tests have threads too, but not that many.
    assert!(slots.len() < 500, "{} slots", slots.len());
}

#[test]
fn any_number_of_threads_have_slots_of_their_own() {
    let (done, wait) = (std::sync::Barrier::new(200), std::sync::Mutex::new(std::collections::HashSet::new()));
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                assert!(wait.lock().unwrap().insert(address_of_slot()));
                done.wait();
            });
        }
    });
    assert_eq!(wait.lock().unwrap().len(), 200);
}

#[test]
fn ending_thread_has_a_slot_for_each_call() {
    /// Dropped after the slot was returned, because it was registered first.
    struct Late(mpsc::Sender<(u64, u64, bool)>);
    impl Drop for Late {
        fn drop(&mut self) {
            let inside = protect();
            let nested = protect();
            let (before, within) = (state(), unprotected(|| (state(), drop(protect())).0));
            drop(nested);
            drop(inside);
            self.0.send((before, within, SLOT.get().is_none())).unwrap();
        }
    }
    thread_local!(static LATE: Cell<Option<Late>> = const { Cell::new(None) });
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        LATE.set(Some(Late(send)));
        drop(protect());
    })
    .join()
    .unwrap();
    assert_eq!(receive.recv().unwrap(), (PROTECTED, IDLE, true));
}

#[test]
fn child_reuses_the_slots_of_the_threads_of_its_parent() {
    let (entered, are_guard) = mpsc::channel();
    let barrier = Arc::new(std::sync::Barrier::new(4));
    let threads = [(); 3].map(|()| {
        let (entered, barrier) = (entered.clone(), barrier.clone());
        thread::spawn(move || {
            drop(protect());
            entered.send(()).unwrap();
            barrier.wait();
        })
    });
    are_guard.iter().take(3).for_each(drop);
    drop(protect());
    // SAFETY: the child reads atomics and exits, without running destructors of the parent.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let taken = ALL.iter().filter(|slot| slot.is_taken.load(SeqCst)).count();
        let inside = ALL.iter().filter(|slot| slot.state() != IDLE).count();
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(i32::from((taken, inside) != (1, 0))) };
    }
    barrier.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut status = 0;
    // SAFETY: `child` is a child of this process that was not waited for yet, and `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
}
