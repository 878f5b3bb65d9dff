"""The routes of a shop."""

from django.urls import path

from shop import views

urlpatterns = [
    path("healthz", views.healthz),
    path("items/<int:number>", views.item),
    path("fail", views.fail),
]
