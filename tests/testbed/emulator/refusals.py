"""Errors that AWS answers with."""

from moto.core.exceptions import ServiceException


class Refusal(ServiceException):
    """A code and a message. Which status belongs to the code, the service's own model says. (moto looks into an exception's module for its service.)"""
