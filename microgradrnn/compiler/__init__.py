"""Trace once, replay: functions and cells as straight-line code. (Its parts are imported where they are used.)"""
