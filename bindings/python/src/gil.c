/* The GIL, and references that the library holds to Python objects. */
#include "native.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Set when the interpreter has ended. */
static atomic_bool ended;

_Atomic(held *) dropped;

static void python_ended(void) {
    atomic_store(&ended, true);
}

int gil_init(void) {
    if (Py_AtExit(python_ended) != 0) {
        PyErr_SetString(PyExc_ImportError, "st_secrets: cannot register a function to be called at exit");
        return -1;
    }
    return 0;
}

/* At exit, the interpreter unwinds (pthread_exit) the stack of other threads that want the GIL. Frames of the
 * library must not be unwound, so such a thread sleeps here until the process ends, as in newer versions of Python. */
static void rest(void *unused) {
    (void)unused;
    for (;;) {
        pause();
    }
}

bool with_gil(void (*work)(void *), void *context) {
    if (atomic_load(&ended)) {
        return false;
    }
    pthread_cleanup_push(rest, NULL);
    PyGILState_STATE state = PyGILState_Ensure();
    work(context);
    PyGILState_Release(state);
    pthread_cleanup_pop(0);
    return true;
}

held *held_new(held **list, PyObject *object) {
    held *new = malloc(sizeof *new);
    if (new == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *new = (held){Py_NewRef(object), NULL, *list, list, NULL};
    if (*list != NULL) {
        (*list)->link = &new->next;
    }
    *list = new;
    return new;
}

void held_drop(void *context) {
    held *this = context;
    this->next_dropped = atomic_load(&dropped);
    while (!atomic_compare_exchange_weak(&dropped, &this->next_dropped, this)) {
    }
}

void release_dropped_now(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    held *first = atomic_exchange(&dropped, NULL);
    /* Before any Python code can run, because it might free the owners of the lists. */
    for (held *this = first; this != NULL; this = this->next_dropped) {
        *this->link = this->next;
        if (this->next != NULL) {
            this->next->link = this->link;
        }
    }
    while (first != NULL) {
        held *this = first;
        first = this->next_dropped;
        Py_DECREF(this->object);
        Py_XDECREF(this->key);
        free(this);
    }
    PyErr_Restore(type, value, traceback);
}

void held_leave(held **list) {
    static held *unowned;
    for (held *this = *list; this != NULL;) {
        held *next = this->next;
        this->next = unowned;
        if (unowned != NULL) {
            unowned->link = &this->next;
        }
        unowned = this;
        this->link = &unowned;
        this = next;
    }
    *list = NULL;
}

int held_visit(held *list, visitproc visit, void *arg) {
    for (; list != NULL; list = list->next) {
        Py_VISIT(list->object);
        Py_VISIT(list->key);
    }
    return 0;
}

bool handle_enter(handle *handle, const char *what) {
    if (handle->closed) {
        PyErr_Format(PyExc_ValueError, "this %s is closed", what);
        return false;
    }
    handle->users++;
    return true;
}

/* Freeing may send requests, and write files. Other threads that close the handle meanwhile find no pointer. */
static void free_unused(handle *handle) {
    if (handle->closed && handle->users == 0 && handle->pointer != NULL) {
        void *pointer = handle->pointer;
        handle->pointer = NULL;
        WITHOUT_GIL(handle->free(pointer));
        release_dropped();
    }
}

void handle_leave(handle *handle) {
    handle->users--;
    free_unused(handle);
}

void handle_close(handle *handle) {
    handle->closed = true;
    free_unused(handle);
}

PyObject *handle_object_new(PyTypeObject *type, void *pointer, void (*free)(void *)) {
    handle_object *self = (handle_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        free(pointer);
        return NULL;
    }
    self->handle = (handle){pointer, 0, false, free};
    return (PyObject *)self;
}

PyObject *handle_object_open(PyTypeObject *type, PyObject *args, const char *format, handle_open open,
                             void (*free)(void *)) {
    PyObject *json = Py_None;
    int of_process = 0;
    if (!PyArg_ParseTuple(args, format, &json, &of_process)) {
        return NULL;
    }
    void *pointer = NULL;
    if (!of_process) {
        st_config *config = config_of(json);
        if (config == NULL) {
            return NULL;
        }
        st_status status;
        ST_ERROR(error);
        WITHOUT_GIL(status = open(config, &pointer, &error));
        st_config_free(config);
        if (failed(status, &error)) {
            free(pointer);
            return NULL;
        }
    }
    return handle_object_new(type, pointer, free);
}

void handle_object_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    handle_close(&((handle_object *)self)->handle);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject *handle_object_close(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_close(&((handle_object *)self)->handle);
    Py_RETURN_NONE;
}
